"""pool_recycle replaces an old connection at check-out, and closes none before.

pool_recycle 在借出时才换掉旧连接，之前不关闭它。
"""

import asyncio
import os

from sqlalchemy import NullPool, text
from sqlalchemy.ext.asyncio import create_async_engine

URL = os.environ["DATABASE_URL"]
engine = create_async_engine(URL, pool_recycle=1)
watcher = create_async_engine(URL, poolclass=NullPool)
PID = text("SELECT pg_backend_pid()")
OLD = text("""SELECT state FROM pg_stat_activity WHERE pid = :pid
    AND clock_timestamp() - backend_start > interval '2.5 s'""")


async def main() -> None:
    async with engine.connect() as connection:
        first = {"pid": await connection.scalar(PID)}
    async with asyncio.timeout(30), watcher.connect() as connection:
        while not await connection.scalar(OLD, first):
            await connection.rollback()
        print("older than 2.5 s:", await connection.scalar(OLD, first))
        #> older than 2.5 s: idle
    async with engine.connect() as connection:
        second = {"pid": await connection.scalar(PID)}
    print("replaced at check-out:", first != second)
    #> replaced at check-out: True
    await engine.dispose()


asyncio.run(main())
