"""A cancelled query stops, and costs its connection, but not its slot.

查询被取消：服务端停下，连接作废，池的上限不变。
"""

import asyncio
import os

from sqlalchemy import NullPool, event, text
from sqlalchemy.ext.asyncio import async_sessionmaker, create_async_engine

URL = os.environ["DATABASE_URL"]
NAME = {"server_settings": {"application_name": "teahouse"}}
engine = create_async_engine(
    URL, pool_size=1, max_overflow=0, connect_args=NAME
)
watcher = create_async_engine(URL, poolclass=NullPool)
async_session = async_sessionmaker(engine)
happened: list[str] = []


async def select(query: str) -> None:
    async with async_session() as session:
        await session.execute(text(query))


async def running(expected: int) -> int:
    query = """SELECT count(*) FROM pg_stat_activity
        WHERE application_name = 'teahouse' AND wait_event = 'PgSleep'
        AND datname = current_database()"""
    async with asyncio.timeout(10):
        while True:
            async with watcher.connect() as connection:
                if await connection.scalar(text(query)) == expected:
                    return expected


def note(name: str) -> None:
    event.listen(engine.sync_engine, name, lambda *_: happened.append(name))


async def main() -> None:
    for name in ("connect", "checkout", "invalidate", "close", "checkin"):
        note(name)
    task = asyncio.create_task(select("SELECT pg_sleep(60)"))
    await running(1)
    task.cancel()
    await asyncio.wait([task])
    print("cancelled:", happened)
    #> cancelled: ['connect', 'checkout', 'invalidate', 'close', 'checkin']
    print("running on the server:", await running(0))
    #> running on the server: 0

    happened.clear()
    await select("SELECT 'oolong'")
    print("the next session:", happened)
    #> the next session: ['connect', 'checkout', 'checkin']
    await engine.dispose()


asyncio.run(main())
