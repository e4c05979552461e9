"""A pool lends 5 + 10 connections at most, and keeps 5 of them.

连接池最多同时借出 5 + 10 个连接，归还后只留 5 个。
"""

import asyncio
import os
from secrets import token_hex

from sqlalchemy import text
from sqlalchemy.ext.asyncio import async_sessionmaker, create_async_engine
from sqlalchemy.pool import NullPool

URL = os.environ["DATABASE_URL"]
NAME = f"teahouse_{token_hex(4)}"
SETTINGS = {"server_settings": {"application_name": NAME}}
BACKENDS = text(f"""
    SELECT count(*) FROM pg_stat_activity WHERE application_name = '{NAME}'
""")
engine = create_async_engine(URL, connect_args=SETTINGS)
async_session = async_sessionmaker(engine)
watcher = create_async_engine(URL, poolclass=NullPool)
everyone = asyncio.Barrier(12 + 1)


async def on_the_server() -> int:
    async with watcher.connect() as connection:
        return int(await connection.scalar(BACKENDS))


async def guest() -> None:
    async with async_session() as session:
        await session.execute(text("SELECT 'longjing'"))
        await everyone.wait()  # all 12 are served: count
        await everyone.wait()  # counted: go home


async def main() -> None:
    print("engine created:", await on_the_server())
    #> engine created: 0
    async with asyncio.TaskGroup() as guests:
        for _ in range(12):
            guests.create_task(guest())
        await everyone.wait()
        print("12 guests at once:", await on_the_server())
        #> 12 guests at once: 12
        await everyone.wait()

    async with asyncio.timeout(30):
        while await on_the_server() > 5:  # a closed backend needs a moment
            continue
    print("all guests gone:", await on_the_server())
    #> all guests gone: 5
    print(engine.pool.status())
    #> Pool size: 5  Connections in pool: 5 Current Overflow: 0 Current Checked out connections: 0
    await engine.dispose()


asyncio.run(main())
