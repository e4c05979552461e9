"""The test's own state instead of that of the lifespan: its session factory.

测试用自己的 state 代替 lifespan 的：里面是测试的会话工厂。
"""

import os
from collections.abc import AsyncIterator, MutableMapping
from typing import Any

import pytest_asyncio
from httpx import ASGITransport, AsyncClient
from sqlalchemy.ext.asyncio import (
    AsyncConnection,
    AsyncEngine,
    async_sessionmaker,
    create_async_engine,
)
from starlette.types import Receive, Send

from shop import State, app


@pytest_asyncio.fixture(scope="session")
async def engine() -> AsyncIterator[AsyncEngine]:
    made = create_async_engine(os.environ["DATABASE_URL"])
    yield made
    await made.dispose()


@pytest_asyncio.fixture
async def connection(engine: AsyncEngine) -> AsyncIterator[AsyncConnection]:
    async with engine.connect() as connection:
        outer = await connection.begin()
        yield connection
        await outer.rollback()


@pytest_asyncio.fixture
async def client(connection: AsyncConnection) -> AsyncIterator[AsyncClient]:
    sessions = async_sessionmaker(
        connection, join_transaction_mode="create_savepoint"
    )

    async def with_state(
        scope: MutableMapping[str, Any], receive: Receive, send: Send
    ) -> None:
        await app({**scope, "state": State(sessions=sessions)}, receive, send)

    async with AsyncClient(
        transport=ASGITransport(with_state), base_url="http://shop"
    ) as client:
        yield client
