"""A session that commits in a loop takes its connection back before the waiter.

在循环里反复提交的会话，会抢在等待者之前把连接又借走。
"""

import asyncio
import os

from sqlalchemy import text
from sqlalchemy.ext.asyncio import async_sessionmaker, create_async_engine

engine = create_async_engine(
    os.environ["DATABASE_URL"], pool_size=1, max_overflow=0
)
async_session = async_sessionmaker(engine)
BREW = text("SELECT 'pu-erh'")


async def one_session(turns: list[str], pause: bool) -> None:
    async with async_session() as session:
        for _ in range(6):
            await session.execute(BREW)
            turns.append("job")
            await session.commit()
            if pause:
                await asyncio.sleep(0)


async def a_session_each(turns: list[str]) -> None:
    for _ in range(6):
        async with async_session.begin() as session:
            await session.execute(BREW)
            turns.append("job")


async def guest(turns: list[str]) -> None:
    async with async_session() as session:
        await session.execute(BREW)
        turns.append("GUEST")


async def main() -> None:
    turns: list[str] = []
    await asyncio.gather(one_session(turns, pause=False), guest(turns))
    print("one session: ", *turns)
    #> one session:  job job job job job job GUEST
    turns.clear()
    await asyncio.gather(one_session(turns, pause=True), guest(turns))
    print("with a pause:", *turns)
    #> with a pause: job GUEST job job job job job
    turns.clear()
    await asyncio.gather(a_session_each(turns), guest(turns))
    print("one for each:", *turns)
    #> one for each: job GUEST job job job job job
    await engine.dispose()


asyncio.run(main())
