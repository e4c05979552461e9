"""Waiting in pg_advisory_lock holds up CREATE INDEX CONCURRENTLY.

在 pg_advisory_lock 里等锁，会卡住 CREATE INDEX CONCURRENTLY。
"""

import asyncio
import os
from contextlib import AsyncExitStack
from secrets import randbits, token_hex

from sqlalchemy import NullPool, text
from sqlalchemy.ext.asyncio import AsyncConnection, create_async_engine

KEY = randbits(62)  # in your project a number, the same in all processes
engine = create_async_engine(
    os.environ["DATABASE_URL"], poolclass=NullPool, isolation_level="AUTOCOMMIT"
)
ORDERS = f"guide_orders_{token_hex(4)}"
INDEX = text(f"CREATE INDEX CONCURRENTLY ON {ORDERS} (drink)")
PID = text("SELECT pg_backend_pid()")
QUEUED = text("SELECT 1 FROM pg_locks WHERE pid = :two AND NOT granted")
IN_THE_WAY = text("SELECT 1 WHERE :two = ANY (pg_blocking_pids(:work))")


async def wait(keeper: AsyncConnection) -> None:
    await keeper.execute(text(f"SELECT pg_advisory_lock({KEY})"))


async def keep_trying(keeper: AsyncConnection) -> None:
    while not await keeper.scalar(text(f"SELECT pg_try_advisory_lock({KEY})")):
        await asyncio.sleep(0.2)


async def main() -> None:
    for take in wait, keep_trying:
        async with AsyncExitStack() as stack:
            one, two, work, watcher = [
                await stack.enter_async_context(engine.connect())
                for _ in range(4)
            ]
            await work.execute(text(f"CREATE TABLE {ORDERS} (drink text)"))
            pids = {
                "two": await two.scalar(PID),
                "work": await work.scalar(PID),
            }
            await take(one)  # and makes an index, while two wants the lock
            taking = asyncio.create_task(take(two))
            while take is wait and not await watcher.scalar(QUEUED, pids):
                pass
            index = asyncio.create_task(work.execute(INDEX))
            while not (index.done() or await watcher.scalar(IN_THE_WAY, pids)):
                pass
            print(f"{take.__name__}:", "made" if index.done() else "hangs")
            #> wait: hangs
            #> keep_trying: made
            await one.close()  # and so unlocks
            await asyncio.gather(index, taking)
            await work.execute(text(f"DROP TABLE {ORDERS}"))


asyncio.run(main())
