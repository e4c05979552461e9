"""pool_timeout ends the wait for a connection, and lets the query run on.

pool_timeout 结束的是等连接，查询照样跑完。
"""

import asyncio
import os
from secrets import randbits

from sqlalchemy import text
from sqlalchemy.exc import TimeoutError as PoolTimeout
from sqlalchemy.ext.asyncio import create_async_engine

URL = os.environ["DATABASE_URL"]
engine = create_async_engine(URL, pool_size=1, max_overflow=0, pool_timeout=1)
other = create_async_engine(URL)
LOCK = text(f"SELECT pg_advisory_xact_lock({randbits(62)})")


async def main() -> None:
    async with other.connect() as holder, engine.connect() as connection:
        await holder.execute(LOCK)
        query = asyncio.create_task(connection.execute(LOCK))
        try:
            await engine.connect()
        except PoolTimeout as error:
            print("the next task:", str(error).partition(" (")[0])
            #> the next task: QueuePool limit of size 1 overflow 0 reached, connection timed out, timeout 1.00
        await holder.rollback()
        print("rows of the slow query:", len((await query).all()))
        #> rows of the slow query: 1
    await asyncio.gather(engine.dispose(), other.dispose())


asyncio.run(main())
