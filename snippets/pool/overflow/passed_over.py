"""Two connections return in one tick: one is closed, and a task waits on.

两个连接在事件循环的同一轮里归还：一个被关掉，还有一个任务接着等。
"""

import asyncio
import os
import time

from sqlalchemy import event
from sqlalchemy.ext.asyncio import create_async_engine

engine = create_async_engine(
    os.environ["DATABASE_URL"], pool_size=1, max_overflow=1, pool_timeout=1
)
happened: list[str] = []
both_served = asyncio.Barrier(2)


def note(moment: str) -> None:
    event.listen(engine.sync_engine, moment, lambda *_: happened.append(moment))


async def guest() -> None:
    async with engine.connect():
        await both_served.wait()


async def main() -> None:
    lent = [await engine.connect(), await engine.connect()]
    began = time.monotonic()
    waiting = [asyncio.create_task(guest()) for _ in range(2)]
    await asyncio.sleep(0)  # both ask, and wait
    for moment in ("connect", "checkout", "checkin", "close"):
        note(moment)
    await asyncio.gather(*(connection.close() for connection in lent))
    print("both returned:", *happened)
    #> both returned: checkin checkin close checkout
    print(engine.pool.status())
    #> Pool size: 1  Connections in pool: 0 Current Overflow: 0 Current Checked out connections: 1
    happened.clear()
    await asyncio.wait(waiting)
    print("a second later:", time.monotonic() - began > 0.9, *happened[:2])
    #> a second later: True connect checkout
    await engine.dispose()


asyncio.run(main())
