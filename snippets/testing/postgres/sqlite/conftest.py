"""The same tests on a database in SQLite's memory and on PostgreSQL.

同样的测试，在 SQLite 内存库和 PostgreSQL 上各跑一遍。
"""

import os
from collections.abc import AsyncIterator

import pytest
import pytest_asyncio
from sqlalchemy import text
from sqlalchemy.ext.asyncio import AsyncEngine, create_async_engine

from shop import TABLE, kept


@pytest_asyncio.fixture(params=["sqlite", "postgresql"])
async def engine(request: pytest.FixtureRequest) -> AsyncIterator[AsyncEngine]:
    if request.param == "sqlite":
        made = create_async_engine("sqlite+aiosqlite://")
    else:
        made = create_async_engine(
            os.environ["DATABASE_URL"],
            pool_size=2,
            max_overflow=0,
            pool_timeout=1,
        )
    async with made.begin() as connection:
        await connection.execute(text(f"CREATE TABLE {TABLE} (tea text)"))
    yield made
    while kept:
        await kept.pop().close()
    async with made.begin() as connection:
        await connection.execute(text(f"DROP TABLE {TABLE}"))
    await made.dispose()
