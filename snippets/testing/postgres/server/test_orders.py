"""Tests run on the server of this run, whatever `DATABASE_URL` was.

不管原来的 `DATABASE_URL` 是什么，测试用的都是这次启动的服务器。
"""

import os
from collections.abc import AsyncIterator

import pytest_asyncio
from sqlalchemy import text
from sqlalchemy.ext.asyncio import AsyncEngine, create_async_engine


@pytest_asyncio.fixture(scope="session")
async def engine() -> AsyncIterator[AsyncEngine]:
    made = create_async_engine(os.environ["DATABASE_URL"])
    yield made
    await made.dispose()


async def test_real_postgresql(engine: AsyncEngine) -> None:
    async with engine.connect() as connection:
        version = await connection.scalar(text("SELECT version()"))
        assert str(version).startswith("PostgreSQL 18")


async def test_server_of_this_run(engine: AsyncEngine) -> None:
    async with engine.connect() as connection:
        home = await connection.scalar(text("SHOW unix_socket_directories"))
        assert f"host={home}" in os.environ["DATABASE_URL"]


#> 2 passed
