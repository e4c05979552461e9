"""The tables go though a test left its transaction open, and that test fails.

有测试没结束事务，表照样删得掉，那个测试会被判失败。
"""

import os
from collections.abc import AsyncIterator

import pytest
import pytest_asyncio
from sqlalchemy import NullPool, text
from sqlalchemy.ext.asyncio import create_async_engine

from shop import NAME, Base, engine

END_OPEN = """
SELECT query, pg_terminate_backend(pid) FROM pg_stat_activity
WHERE application_name = :name AND state LIKE 'idle in transaction%'
"""


@pytest_asyncio.fixture(autouse=True)
async def tables() -> AsyncIterator[None]:
    own = create_async_engine(os.environ["DATABASE_URL"], poolclass=NullPool)
    async with own.begin() as connection:
        await connection.execute(text(f"CREATE SCHEMA {NAME}"))
    async with engine.begin() as connection:
        await connection.run_sync(Base.metadata.create_all)
    yield
    async with own.begin() as connection:
        await connection.execute(text("SET LOCAL lock_timeout = '10s'"))
        ended = await connection.execute(text(END_OPEN), {"name": NAME})
        queries = [query for query, _ in ended]
        await connection.execute(text(f"DROP SCHEMA {NAME} CASCADE"))
    if queries:
        pytest.fail(f"left open after {queries[0]}", pytrace=False)
