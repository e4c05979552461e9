"""A gather that fails on a shared session keeps its connection, every time.

共用一个会话的 gather 每失败一次，就多一个连接还不回来，直到连接池耗尽。
"""

import asyncio
import gc
import os

from sqlalchemy import text
from sqlalchemy.exc import IllegalStateChangeError, TimeoutError
from sqlalchemy.ext.asyncio import (
    AsyncSession,
    async_sessionmaker,
    create_async_engine,
)

engine = create_async_engine(os.environ["DATABASE_URL"], pool_timeout=1)
async_session = async_sessionmaker(engine)


async def price(session: AsyncSession) -> object:
    return await session.scalar(text("SELECT 'longjing'"))


async def prices() -> None:
    async with async_session() as session:
        await asyncio.gather(*(price(session) for _ in range(3)))


async def main() -> None:
    gc.disable()  # it would bring some of them back, at any time
    for _ in range(15):
        try:
            await prices()
        except IllegalStateChangeError as error:
            failed = str(error).partition(" and ")[0]
    print(failed)
    #> Method 'close()' can't be called here; method '_connection_for_bind()' is already in progress
    left = asyncio.all_tasks() - {asyncio.current_task()}
    await asyncio.gather(*left, return_exceptions=True)  # nothing runs now
    print(engine.pool.status())
    #> Pool size: 5  Connections in pool: 0 Current Overflow: 10 Current Checked out connections: 15
    try:
        async with async_session() as session:
            await price(session)
    except TimeoutError as error:
        print(str(error).split(" (Background")[0])
        #> QueuePool limit of size 5 overflow 10 reached, connection timed out, timeout 1.00
    await engine.dispose()


asyncio.run(main())
