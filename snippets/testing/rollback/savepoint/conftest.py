"""Each test gets a session inside a transaction that is rolled back at its end.

每个测试拿到的会话都在一个外层事务里，测试结束时这个事务回滚。
"""

import os
from collections.abc import AsyncIterator
from secrets import token_hex

import pytest_asyncio
from sqlalchemy import text
from sqlalchemy.ext.asyncio import (
    AsyncEngine,
    AsyncSession,
    create_async_engine,
)

from shop import Base

SCHEMA = f"guide_tests_{token_hex(4)}"


@pytest_asyncio.fixture(scope="session")
async def engine() -> AsyncIterator[AsyncEngine]:
    made = create_async_engine(os.environ["DATABASE_URL"]).execution_options(
        schema_translate_map={None: SCHEMA}
    )
    async with made.begin() as connection:
        await connection.execute(text(f"CREATE SCHEMA {SCHEMA}"))
        await connection.run_sync(Base.metadata.create_all)
    yield made
    async with made.begin() as connection:
        await connection.execute(text(f"DROP SCHEMA {SCHEMA} CASCADE"))
    await made.dispose()


@pytest_asyncio.fixture
async def session(engine: AsyncEngine) -> AsyncIterator[AsyncSession]:
    async with engine.connect() as connection:
        outer = await connection.begin()
        async with AsyncSession(
            connection,
            join_transaction_mode="create_savepoint",
            expire_on_commit=False,
        ) as session:
            yield session
        await outer.rollback()
