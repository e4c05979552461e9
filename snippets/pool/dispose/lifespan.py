"""A pool filled before the first request, and emptied after the last.

第一个请求之前把池填满，最后一个请求之后清空。
"""

import asyncio
import os
from collections.abc import AsyncIterator
from contextlib import AsyncExitStack, asynccontextmanager

from fastapi import FastAPI
from sqlalchemy import NullPool, text
from sqlalchemy.ext.asyncio import AsyncEngine, create_async_engine

URL = os.environ["DATABASE_URL"]
NAME = {"server_settings": {"application_name": "teahouse"}}
BACKENDS = text("""
    SELECT count(*) FROM pg_stat_activity
    WHERE datname = current_database() AND application_name = 'teahouse'
""")
engine = create_async_engine(URL, pool_size=5, connect_args=NAME)
watcher = create_async_engine(URL, poolclass=NullPool)


async def fill(engine: AsyncEngine, connections: int) -> None:
    """Open so many connections, and put them into the pool."""
    async with AsyncExitStack() as lent:
        for _ in range(connections):
            await lent.enter_async_context(engine.connect())


@asynccontextmanager
async def lifespan(app: FastAPI) -> AsyncIterator[None]:
    try:
        await fill(engine, 5)
        yield
    finally:
        async with asyncio.timeout(5):  # for a dead network
            await engine.dispose()


async def tell(moment: str) -> None:
    async with watcher.connect() as connection:
        print(moment, await connection.scalar(BACKENDS))
        #> five visits, one by one: 1
        #> ready for requests: 5
        #> stopped: 0


async def main() -> None:
    for _ in range(5):
        async with engine.connect():
            pass
    await tell("five visits, one by one:")
    async with lifespan(FastAPI()):
        await tell("ready for requests:")
    await tell("stopped:")


asyncio.run(main())
