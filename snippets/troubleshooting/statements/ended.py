"""A transaction is ended once: by its block, by commit() or by rollback().

一个事务只结束一次：靠代码块，靠 commit()，或者靠 rollback()。
"""

import asyncio
import os

from sqlalchemy import text
from sqlalchemy.exc import InvalidRequestError
from sqlalchemy.ext.asyncio import AsyncSession, create_async_engine

engine = create_async_engine(os.environ["DATABASE_URL"])
OOLONG = text("SELECT 'oolong'")


async def main() -> None:
    async with AsyncSession(engine) as session:
        transaction = await session.begin()
        await session.execute(OOLONG)
        await session.commit()
        try:
            await transaction.commit()
        except InvalidRequestError as error:
            print(type(error).__name__, error)
            #> ResourceClosedError This transaction is closed

    async with AsyncSession(engine) as session:
        async with session.begin():  # commits at its end
            await session.execute(OOLONG)
        async with session.begin():
            print("second block:", await session.scalar(OOLONG))
            #> second block: oolong
    await engine.dispose()


asyncio.run(main())
