"""Threads share a pool if one loop, in a thread of its own, does all the work.

几个线程可以共用一个连接池：数据库操作都交给一个循环，它单独占一个线程。
"""

import asyncio
import os
from collections.abc import Coroutine
from concurrent.futures import ThreadPoolExecutor
from threading import Thread
from typing import Any

from sqlalchemy import event, text
from sqlalchemy.ext.asyncio import create_async_engine

engine = create_async_engine(
    os.environ["DATABASE_URL"], pool_size=2, max_overflow=0
)
opened: list[object] = []
event.listen(engine.sync_engine, "connect", lambda *_: opened.append("one"))
loop = asyncio.new_event_loop()
thread = Thread(target=loop.run_forever, daemon=True)


def run(work: Coroutine[Any, Any, Any]) -> Any:
    future = asyncio.run_coroutine_threadsafe(work, loop)
    try:
        return future.result(timeout=30)
    finally:
        future.cancel()  # nobody waits for it: its connection comes back


async def order() -> str:
    async with engine.connect() as connection:
        return str(await connection.scalar(text("SELECT 'oolong'")))


def synchronous_code(_: int) -> str:
    return str(run(order()))


thread.start()
with ThreadPoolExecutor(8) as threads:
    drinks = list(threads.map(synchronous_code, range(40)))
print("drinks:", len(drinks), "connections:", len(opened))
#> drinks: 40 connections: 2

run(engine.dispose())
loop.call_soon_threadsafe(loop.stop)
thread.join()
loop.close()
