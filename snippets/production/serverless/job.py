"""A job: one connection, a limit, and a lock against a second run.

定时任务：一个连接，一个时限，一把防止重叠的锁。
"""

import asyncio
import os
from collections.abc import Awaitable, Callable
from secrets import randbits

from sqlalchemy import NullPool, text
from sqlalchemy.ext.asyncio import AsyncConnection, create_async_engine

URL = os.environ["DATABASE_URL"]
KEY = randbits(62)  # in your project a number, the same in all runs
LIMITS = {"server_settings": {"statement_timeout": "10min"}}
LOCK = text(f"SELECT pg_try_advisory_lock({KEY})")
Work = Callable[[AsyncConnection], Awaitable[None]]


async def run_once(work: Work) -> str:
    engine = create_async_engine(URL, poolclass=NullPool, connect_args=LIMITS)
    async with engine.connect() as connection:  # whose end unlocks
        if not await connection.scalar(LOCK):
            return "another run is at work"
        await connection.commit()
        await work(connection)
        return "done"


async def main() -> None:
    begun, go_on = asyncio.Event(), asyncio.Event()

    async def take_stock(connection: AsyncConnection) -> None:
        for _ in range(3):
            await connection.execute(text("SELECT 'oolong'"))
            await connection.commit()
            begun.set()
            await go_on.wait()

    first = asyncio.create_task(run_once(take_stock))
    await begun.wait()
    print("second run:", await run_once(take_stock))
    #> second run: another run is at work
    go_on.set()
    print("first run:", await first)
    #> first run: done
    print("third run:", await run_once(take_stock))
    #> third run: done


asyncio.run(main())
