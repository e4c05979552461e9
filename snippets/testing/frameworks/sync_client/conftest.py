"""One TestClient for all tests, and each test's transaction in its loop.

所有测试共用一个 TestClient，每个测试的事务开在它的事件循环里。
"""

from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager
from secrets import token_hex

import pytest
from fastapi.testclient import TestClient
from sqlalchemy import text
from sqlalchemy.ext.asyncio import AsyncSession, async_sessionmaker

from shop import Base, app, engine, get_session

SCHEMA = f"guide_tests_{token_hex(4)}"
ours = engine.execution_options(schema_translate_map={None: SCHEMA})


@asynccontextmanager
async def tables() -> AsyncIterator[None]:
    async with ours.begin() as connection:
        await connection.execute(text(f"CREATE SCHEMA {SCHEMA}"))
        await connection.run_sync(Base.metadata.create_all)
    yield
    async with ours.begin() as connection:
        await connection.execute(text(f"DROP SCHEMA {SCHEMA} CASCADE"))


@asynccontextmanager
async def rolled_back() -> AsyncIterator[None]:
    async with ours.connect() as connection:
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
        yield
        app.dependency_overrides.pop(get_session, None)
        await outer.rollback()


@pytest.fixture(scope="session")
def one_client() -> Iterator[TestClient]:
    with TestClient(app) as client:
        assert client.portal
        with client.portal.wrap_async_context_manager(tables()):
            yield client


@pytest.fixture
def client(one_client: TestClient) -> Iterator[TestClient]:
    assert one_client.portal
    with one_client.portal.wrap_async_context_manager(rolled_back()):
        yield one_client
