"""Waiting tasks are served in turn, and one that gives up costs nobody a place.

等连接的任务先来先得；谁中途放弃，也不耽误别人。
"""

import asyncio
import os

from sqlalchemy import text
from sqlalchemy.ext.asyncio import async_sessionmaker, create_async_engine

engine = create_async_engine(
    os.environ["DATABASE_URL"], pool_size=1, max_overflow=0
)
async_session = async_sessionmaker(engine)
served: list[str] = []


async def guest(name: str) -> None:
    async with async_session() as session:
        await session.execute(text("SELECT 'longjing'"))
        served.append(name)


async def main() -> None:
    async with engine.connect():
        print("nobody waits:", engine.pool.status())
        #> nobody waits: Pool size: 1  Connections in pool: 0 Current Overflow: 0 Current Checked out connections: 1
        queue = [asyncio.create_task(guest(name)) for name in "ABCD"]
        await asyncio.sleep(0)  # each of them asks for the connection
        queue[1].cancel()
        await asyncio.wait([queue[1]])
        print("three wait:  ", engine.pool.status())
        #> three wait:   Pool size: 1  Connections in pool: 0 Current Overflow: 0 Current Checked out connections: 1
    await asyncio.wait(queue)
    print("served:", *served)
    #> served: A C D
    await engine.dispose()


asyncio.run(main())
