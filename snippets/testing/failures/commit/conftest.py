"""A test that asks for `line` has the shop's engine connect through the proxy.

测试用到 line，应用的引擎就经过代理连接数据库。
"""

import asyncio
from collections.abc import AsyncIterator

import pytest_asyncio
from sqlalchemy.ext.asyncio import create_async_engine

from line import URL, Line
from shop import Base, async_session


@pytest_asyncio.fixture
async def line() -> AsyncIterator[Line]:
    line = Line()
    listener = await asyncio.start_server(line.admit, "127.0.0.1", 0)
    host, port = listener.sockets[0].getsockname()
    engine = create_async_engine(
        URL.set(host=host, port=port), connect_args={"ssl": False}
    )
    async_session.configure(bind=engine)
    async with engine.begin() as connection:
        await connection.run_sync(Base.metadata.create_all)
    yield line
    async with engine.begin() as connection:
        await connection.run_sync(Base.metadata.drop_all)
    await engine.dispose()
    listener.close()
