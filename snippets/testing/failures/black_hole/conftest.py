"""A line to the server that a test can make silent.

引擎经过代理连接服务端，测试可以让代理什么都不转发。
"""

import asyncio
from collections.abc import AsyncIterator

import pytest_asyncio

from line import Line


@pytest_asyncio.fixture
async def line() -> AsyncIterator[Line]:
    line = Line()
    listener = await asyncio.start_server(line.admit, "127.0.0.1", 0)
    host, port = listener.sockets[0].getsockname()
    line.url = line.server.set(host=host, port=port, query={})
    yield line
    for end in line.ends:
        end.close()
    listener.close()
