"""Ten requests on two connections: in pairs if they wait in a transaction.

十个请求、两个连接：停在事务里等，只能两个两个过；先提交，就一起等。
"""

import asyncio
import os
from collections.abc import Awaitable, Callable
from time import perf_counter

from sqlalchemy import text
from sqlalchemy.ext.asyncio import async_sessionmaker, create_async_engine

engine = create_async_engine(
    os.environ["DATABASE_URL"], pool_size=2, max_overflow=0
)
async_session = async_sessionmaker(engine)
READ = text("SELECT 'longjing'")
ANSWER_TIME = 0.2


async def ask() -> None:
    await asyncio.sleep(ANSWER_TIME)  # the other service, thinking


async def holding() -> None:
    async with async_session() as session:
        await session.execute(READ)
        await ask()


async def committed() -> None:
    async with async_session() as session:
        await session.execute(READ)
        await session.commit()
        await ask()


async def ten(request: Callable[[], Awaitable[None]]) -> float:
    began = perf_counter()
    await asyncio.gather(*(request() for _ in range(10)))
    return perf_counter() - began


async def main() -> None:
    await ten(committed)  # opens the connections
    held = await ten(holding)
    free = min([await ten(committed) for _ in range(3)])
    print("holding takes at least five answers:", held >= 5 * ANSWER_TIME)
    #> holding takes at least five answers: True
    print("committed takes less than that:", free < held)
    #> committed takes less than that: True
    await engine.dispose()


asyncio.run(main())
