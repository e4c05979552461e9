"""A task that waits inside a transaction holds a connection all the while.

任务停在事务里等待，等多久就占多久连接；先提交，连接就先还回去。
"""

import asyncio
import os

from sqlalchemy import text
from sqlalchemy.ext.asyncio import async_sessionmaker, create_async_engine

engine = create_async_engine(os.environ["DATABASE_URL"])
async_session = async_sessionmaker(engine)
everyone = asyncio.Barrier(5 + 1)


async def guest(commit_first: bool, paid: asyncio.Event) -> None:
    async with async_session() as session:
        await session.execute(text("SELECT 'oolong'"))
        if commit_first:
            await session.commit()
        await everyone.wait()
        await paid.wait()  # a slow call to some other service


async def lent_to_waiting_guests(commit_first: bool) -> str:
    paid = asyncio.Event()
    async with asyncio.TaskGroup() as guests:
        for _ in range(5):
            guests.create_task(guest(commit_first, paid))
        await everyone.wait()
        status = engine.pool.status()
        paid.set()
    return status


async def main() -> None:
    print(await lent_to_waiting_guests(commit_first=False))
    #> Pool size: 5  Connections in pool: 0 Current Overflow: 0 Current Checked out connections: 5
    print(await lent_to_waiting_guests(commit_first=True))
    #> Pool size: 5  Connections in pool: 5 Current Overflow: 0 Current Checked out connections: 0
    await engine.dispose()


asyncio.run(main())
