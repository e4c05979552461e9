"""An httpx client in the tests' own loop, and a transaction around each test.

httpx 客户端和测试在同一个事件循环，每个测试外面包一个事务。
"""

from collections.abc import AsyncIterator
from secrets import token_hex

import pytest_asyncio
from httpx import ASGITransport, AsyncClient
from sqlalchemy import text
from sqlalchemy.ext.asyncio import (
    AsyncEngine,
    AsyncSession,
    async_sessionmaker,
)

from shop import Base, app, engine, get_session

SCHEMA = f"guide_tests_{token_hex(4)}"


@pytest_asyncio.fixture(scope="session")
async def tables() -> AsyncIterator[AsyncEngine]:
    ours = engine.execution_options(schema_translate_map={None: SCHEMA})
    async with app.router.lifespan_context(app):
        async with ours.begin() as connection:
            await connection.execute(text(f"CREATE SCHEMA {SCHEMA}"))
            await connection.run_sync(Base.metadata.create_all)
        yield ours
        async with ours.begin() as connection:
            await connection.execute(text(f"DROP SCHEMA {SCHEMA} CASCADE"))


@pytest_asyncio.fixture
async def client(tables: AsyncEngine) -> AsyncIterator[AsyncClient]:
    async with tables.connect() as connection:
        outer = await connection.begin()
        sessions = async_sessionmaker(
            connection,
            join_transaction_mode="create_savepoint",
            expire_on_commit=False,
        )

        async def get_test_session() -> AsyncIterator[AsyncSession]:
            async with sessions() as session:
                yield session

        app.dependency_overrides[get_session] = get_test_session
        async with AsyncClient(
            transport=ASGITransport(app), base_url="http://shop"
        ) as client:
            yield client
        app.dependency_overrides.pop(get_session, None)
        await outer.rollback()
