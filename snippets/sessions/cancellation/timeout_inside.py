"""After a cancelled query, a session takes no SQL until it is rolled back.

查询被取消之后，会话要先回滚，才肯再执行 SQL。
"""

import asyncio
import os

from sqlalchemy import text
from sqlalchemy.exc import PendingRollbackError
from sqlalchemy.ext.asyncio import async_sessionmaker, create_async_engine

engine = create_async_engine(os.environ["DATABASE_URL"])
async_session = async_sessionmaker(engine)


async def main() -> None:
    async with async_session() as session:
        await session.execute(text("SELECT 'longjing'"))
        try:
            async with asyncio.timeout(0.2):
                await session.execute(text("SELECT pg_sleep(60)"))
        except TimeoutError:
            print("too slow; is_active:", session.is_active)
            #> too slow; is_active: True
        try:
            await session.scalar(text("SELECT 'oolong'"))
        except PendingRollbackError as error:
            print(error.args[0])
            #> Can't reconnect until invalid transaction is rolled back.  Please rollback() fully before proceeding
        await session.rollback()
        print(await session.scalar(text("SELECT 'oolong'")))
        #> oolong
    await engine.dispose()


asyncio.run(main())
