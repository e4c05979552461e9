"""A synchronous session that waits for the pool stops the whole event loop.

同步会话在 async def 里等连接，整个事件循环都停住，连健康检查也不回答。
"""

import asyncio
import os

from sqlalchemy import create_engine, exc, make_url, text
from sqlalchemy.ext.asyncio import create_async_engine

URL = make_url(os.environ["DATABASE_URL"])
SIZE = {"pool_size": 1, "max_overflow": 0, "pool_timeout": 1}
sync = create_engine(URL.set(drivername="postgresql+psycopg"), **SIZE)
engine = create_async_engine(URL, **SIZE)
SELECT = text("SELECT 'longjing'")
happened: list[str] = []


async def blocking(name: str, seated: asyncio.Event, go: asyncio.Event) -> None:
    try:
        with sync.connect() as connection:
            connection.execute(SELECT)
            seated.set()
            await go.wait()
        happened.append(f"{name} done")
    except exc.TimeoutError:
        happened.append(f"{name} TimeoutError")


async def waiting(name: str, seated: asyncio.Event, go: asyncio.Event) -> None:
    async with engine.connect() as connection:
        await connection.execute(SELECT)
        seated.set()
        await go.wait()
    happened.append(f"{name} done")


async def health() -> None:
    happened.append("health")


async def main() -> None:
    for request in (blocking, waiting):
        happened.clear()
        seated, go = asyncio.Event(), asyncio.Event()
        first = asyncio.create_task(request("first", seated, go))
        await seated.wait()
        second = asyncio.create_task(request("second", seated, go))
        go.set()  # the first may go as soon as the loop turns
        await asyncio.gather(first, second, health())
        print(f"{request.__name__}:", happened)
        #> blocking: ['second TimeoutError', 'first done', 'health']
        #> waiting: ['health', 'first done', 'second done']
    sync.dispose()
    await engine.dispose()


asyncio.run(main())
