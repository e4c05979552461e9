"""NullPool has no limit: thirty tasks at once are thirty connections.

NullPool 没有上限：三十个任务同时来，就是三十个连接。
"""

import asyncio
import os
from contextlib import AbstractAsyncContextManager, nullcontext

from sqlalchemy import event, text
from sqlalchemy.ext.asyncio import async_sessionmaker, create_async_engine
from sqlalchemy.pool import NullPool

engine = create_async_engine(os.environ["DATABASE_URL"], poolclass=NullPool)
async_session = async_sessionmaker(engine)
Limit = AbstractAsyncContextManager[object]
now_open = most_open = 0


@event.listens_for(engine.sync_engine, "connect")
def opened(*_: object) -> None:
    global now_open, most_open
    now_open += 1
    most_open = max(most_open, now_open)


@event.listens_for(engine.sync_engine, "close")
def closed(*_: object) -> None:
    global now_open
    now_open -= 1


async def guest(limit: Limit, together: asyncio.Barrier) -> None:
    async with limit, async_session() as session:
        await session.execute(text("SELECT 'oolong'"))
        await together.wait()


async def most_for_thirty_guests(limit: Limit, at_once: int) -> int:
    global most_open
    most_open = 0
    together = asyncio.Barrier(at_once)
    await asyncio.gather(*(guest(limit, together) for _ in range(30)))
    return most_open


async def main() -> None:
    print("NullPool:", await most_for_thirty_guests(nullcontext(), 30))
    #> NullPool: 30
    ten = asyncio.Semaphore(10)
    print("with a semaphore:", await most_for_thirty_guests(ten, 10))
    #> with a semaphore: 10
    await engine.dispose()


asyncio.run(main())
