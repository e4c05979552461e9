"""The shop's engine connects through the proxy, and a client asks the shop.

应用的引擎经过代理连接数据库，客户端访问应用。
"""

import asyncio
from collections.abc import AsyncIterator

import pytest_asyncio
from httpx import ASGITransport, AsyncClient

from line import Line
from shop import app, async_session, make_engine


@pytest_asyncio.fixture
async def line() -> AsyncIterator[Line]:
    line = Line()
    listener = await asyncio.start_server(line.admit, "127.0.0.1", 0)
    host, port = listener.sockets[0].getsockname()
    engine = make_engine(line.server.set(host=host, port=port, query={}))
    async_session.configure(bind=engine)
    yield line
    line.delay = 0
    await engine.dispose()
    listener.close()


@pytest_asyncio.fixture
async def client(line: Line) -> AsyncIterator[AsyncClient]:
    way = ASGITransport(app)
    async with AsyncClient(transport=way, base_url="http://shop") as it:
        yield it
