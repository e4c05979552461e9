"""One session runs its queries in turn, a session per task runs them at once.

共用一个会话，查询只能一条一条来；每个任务一个会话，才真的同时跑。
"""

import asyncio
import os
from time import perf_counter

from sqlalchemy import text
from sqlalchemy.ext.asyncio import (
    AsyncSession,
    async_sessionmaker,
    create_async_engine,
)

engine = create_async_engine(os.environ["DATABASE_URL"])
async_session = async_sessionmaker(engine)
BREW = text("SELECT pg_backend_pid() FROM pg_sleep(0.1)")


async def brew(session: AsyncSession) -> object:
    return await session.scalar(BREW)


async def brew_alone() -> object:
    async with async_session() as session:
        return await brew(session)


async def shared() -> tuple[float, int]:
    began = perf_counter()
    async with async_session() as session:
        backends = await asyncio.gather(*(brew(session) for _ in range(5)))
    return perf_counter() - began, len(set(backends))


async def per_task() -> tuple[float, int]:
    began = perf_counter()
    async with asyncio.TaskGroup() as group:
        tasks = [group.create_task(brew_alone()) for _ in range(5)]
    backends = {task.result() for task in tasks}
    return perf_counter() - began, len(backends)


async def main() -> None:
    await per_task()  # opens the connections
    in_turn, one = await shared()
    at_once, five = min([await per_task() for _ in range(3)])
    print(f"backends at work: {one} with one session, {five} with five")
    #> backends at work: 1 with one session, 5 with five
    print("five sessions are faster:", at_once < in_turn)
    #> five sessions are faster: True
    await engine.dispose()


asyncio.run(main())
