"""AsyncIOScheduler runs jobs in the loop and on the pool of the application.

AsyncIOScheduler 的任务跑在应用的循环里，用的是应用的连接池。
"""

import asyncio
import os
from collections.abc import Callable
from typing import Any

from apscheduler.events import EVENT_JOB_EXECUTED
from apscheduler.schedulers.asyncio import AsyncIOScheduler
from apscheduler.schedulers.background import BackgroundScheduler
from sqlalchemy import Pool, event, text
from sqlalchemy.ext.asyncio import AsyncEngine, create_async_engine

URL = os.environ["DATABASE_URL"]
opened: list[object] = []
event.listen(Pool, "connect", lambda *_: opened.append("one"))
engine = create_async_engine(URL)


async def take_stock(engine: AsyncEngine = engine) -> None:
    async with engine.connect() as connection:
        await connection.execute(text("SELECT 'oolong'"))


async def take_stock_and_dispose() -> None:
    own = create_async_engine(URL)
    try:
        await take_stock(own)
    finally:
        await own.dispose()


def in_a_thread() -> None:
    asyncio.run(take_stock_and_dispose())


async def three_times(scheduler: Any, job: Callable[[], object]) -> None:
    loop, done = asyncio.get_running_loop(), asyncio.Semaphore(0)
    scheduler.add_listener(
        lambda _: loop.call_soon_threadsafe(done.release), EVENT_JOB_EXECUTED
    )
    opened.clear()
    scheduler.start()
    for _ in range(3):
        scheduler.add_job(job)
        await done.acquire()
    scheduler.shutdown()
    print(type(scheduler).__name__, "opened", len(opened))
    #> AsyncIOScheduler opened 1
    #> BackgroundScheduler opened 3


async def main() -> None:
    await three_times(AsyncIOScheduler(), take_stock)
    await three_times(BackgroundScheduler(), in_a_thread)
    await engine.dispose()


asyncio.run(main())
