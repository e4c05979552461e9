"""Pre-ping finds one dead connection of three, and the pool renews them all.

预检发现三个连接里死了一个，连接池就把三个全换掉。
"""

import asyncio
import os

from sqlalchemy import text
from sqlalchemy.ext.asyncio import create_async_engine

URL = os.environ["DATABASE_URL"]
PID = text("SELECT pg_backend_pid()")
END = text("SELECT pg_terminate_backend(:pid, 10000)")
engine = create_async_engine(URL, pool_pre_ping=True)
elsewhere = create_async_engine(URL)
pids: list[int] = []


async def three_at_once() -> str:
    """A for the first backend, B for the second, and so on."""
    lent = [await engine.connect() for _ in range(3)]
    letters = ""
    for connection in lent:
        pid = await connection.scalar(PID)
        if pid not in pids:
            pids.append(pid)
        letters += "ABCDEF"[pids.index(pid)]
    for connection in lent:
        await connection.close()
    return letters


async def main() -> None:
    print("before:", await three_at_once())
    #> before: ABC
    async with elsewhere.connect() as connection:
        await connection.execute(END, {"pid": pids[0]})
    print("A has ended:", await three_at_once())
    #> A has ended: DEF
    await engine.dispose()
    await elsewhere.dispose()


asyncio.run(main())
