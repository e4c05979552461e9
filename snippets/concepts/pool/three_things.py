"""One session runs its transactions on whichever connection is next in line.

同一个会话的几个事务，轮到哪个连接就用哪个。
"""

import asyncio
import os

from sqlalchemy import text
from sqlalchemy.ext.asyncio import async_sessionmaker, create_async_engine

engine = create_async_engine(os.environ["DATABASE_URL"])
async_session = async_sessionmaker(engine)
BACKEND = text("SELECT pg_backend_pid()")


async def main() -> None:
    async with async_session() as one, async_session() as another:
        await one.execute(BACKEND)
        await another.execute(BACKEND)

    pids = []
    async with async_session() as session:
        for _ in range(6):
            pids.append(await session.scalar(BACKEND))
            await session.commit()
    letters = dict(zip(dict.fromkeys(pids), "AB", strict=True))
    print("backends of one session:", *(letters[pid] for pid in pids))
    #> backends of one session: A B A B A B
    await engine.dispose()


asyncio.run(main())
