"""PostgreSQL sees no deadlock: nobody works, and nobody waits for a lock.

PostgreSQL 看不到死锁：没有谁在干活，也没有谁在等锁。
"""

import asyncio
import os

from sqlalchemy import NullPool, text
from sqlalchemy.ext.asyncio import async_sessionmaker, create_async_engine

URL = os.environ["DATABASE_URL"]
NAME = {"server_settings": {"application_name": "teahouse"}}
engine = create_async_engine(
    URL, pool_size=5, max_overflow=0, connect_args=NAME
)
watcher = create_async_engine(URL, poolclass=NullPool)
async_session = async_sessionmaker(engine)
everyone = asyncio.Barrier(5 + 1)


async def serve() -> None:
    async with async_session() as first, async_session() as second:
        await first.execute(text("SELECT 'oolong'"))
        await everyone.wait()
        await second.execute(text("SELECT 'pu-erh'"))


async def main() -> None:
    query = """SELECT state, wait_event_type, query, count(*)
        FROM pg_stat_activity WHERE application_name = 'teahouse'
        AND datname = current_database() GROUP BY 1, 2, 3"""
    guests = [asyncio.create_task(serve()) for _ in range(5)]
    await everyone.wait()  # now each holds one connection and asks for another
    async with watcher.connect() as connection:
        for row in await connection.execute(text(query)):
            print(tuple(row))
            #> ('idle in transaction', 'Client', "SELECT 'oolong'", 5)
    print(engine.pool.status())
    #> Pool size: 5  Connections in pool: 0 Current Overflow: 0 Current Checked out connections: 5
    print("finished:", sum(guest.done() for guest in guests))
    #> finished: 0

    for guest in guests:
        guest.cancel()
    await asyncio.wait(guests)
    await engine.dispose()


asyncio.run(main())
