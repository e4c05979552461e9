"""Two fixtures: a client of the application, and a pool in which nothing is free.

两个夹具：应用的客户端，以及一个耗尽的连接池。
"""

from collections.abc import AsyncIterator
from contextlib import AsyncExitStack

import pytest_asyncio
from httpx import ASGITransport, AsyncClient

from shop import OVERFLOW, SIZE, app, engine


@pytest_asyncio.fixture
async def client() -> AsyncIterator[AsyncClient]:
    way = ASGITransport(app)
    async with AsyncClient(transport=way, base_url="http://shop") as it:
        yield it
    await engine.dispose()


@pytest_asyncio.fixture
async def full_pool(client: AsyncClient) -> AsyncIterator[AsyncExitStack]:
    async with AsyncExitStack() as lent:
        for _ in range(SIZE + OVERFLOW):
            await lent.enter_async_context(engine.connect())
        yield lent  # closing it gives all of them back
