"""Pass the session on, or commit before you call: a pool of one serves five.

把会话传下去，或者先提交再调用：一个连接的池也能让五个任务都完成。
"""

import asyncio
import os

from sqlalchemy import exc, text
from sqlalchemy.ext.asyncio import (
    AsyncSession,
    async_sessionmaker,
    create_async_engine,
)

engine = create_async_engine(
    os.environ["DATABASE_URL"], pool_size=1, max_overflow=0, pool_timeout=1
)
async_session = async_sessionmaker(engine)
SELECT = text("SELECT 'oolong'")


async def log_visit(session: AsyncSession) -> None:
    await session.execute(SELECT)


async def nested() -> None:
    async with async_session() as session:
        await session.execute(SELECT)
        async with async_session() as second:
            await log_visit(second)


async def passed_on() -> None:
    async with async_session() as session:
        await session.execute(SELECT)
        await log_visit(session)


async def committed() -> None:
    async with async_session() as session:
        await session.execute(SELECT)
        await session.commit()
        async with async_session() as second:
            await log_visit(second)


async def main() -> None:
    for serve in (nested, passed_on, committed):
        results = await asyncio.gather(
            *(serve() for _ in range(5)), return_exceptions=True
        )
        failed = sum(isinstance(each, exc.TimeoutError) for each in results)
        print(f"{serve.__name__}: {5 - failed} served")
        #> nested: 0 served
        #> passed_on: 5 served
        #> committed: 5 served
    await engine.dispose()


asyncio.run(main())
