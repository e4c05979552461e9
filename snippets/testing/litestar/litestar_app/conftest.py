"""httpx's transport and the application's lifespan, in the loop of the tests.

httpx 的 transport 和应用自己的 lifespan，都跑在测试的事件循环里。
"""

from collections.abc import AsyncIterator
from secrets import token_hex

import pytest_asyncio
from httpx import ASGITransport, AsyncClient
from sqlalchemy import text
from sqlalchemy.ext.asyncio import AsyncEngine, async_sessionmaker

from shop import Base, app, database

SCHEMA = f"guide_tests_{token_hex(4)}"


@pytest_asyncio.fixture(scope="session")
async def tables() -> AsyncIterator[AsyncEngine]:
    async with database(app):
        ours = app.state.engine.execution_options(
            schema_translate_map={None: SCHEMA}
        )
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
        app.state.sessions = async_sessionmaker(
            connection, join_transaction_mode="create_savepoint"
        )
        async with AsyncClient(
            transport=ASGITransport(app), base_url="http://shop"
        ) as client:
            yield client
        await outer.rollback()
