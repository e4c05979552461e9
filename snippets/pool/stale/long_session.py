"""Lost in mid-transaction: pre-ping does not help, a rollback does.

事务途中断线：预检帮不上，回滚才行。
"""

import asyncio
import os

from sqlalchemy import text
from sqlalchemy.exc import DBAPIError, PendingRollbackError
from sqlalchemy.ext.asyncio import async_sessionmaker, create_async_engine

engine = create_async_engine(os.environ["DATABASE_URL"], pool_pre_ping=True)
async_session = async_sessionmaker(engine)
RESTART = text("SELECT pg_terminate_backend(pg_backend_pid())")


async def main() -> None:
    async with async_session() as session:
        await session.execute(text("SELECT 'longjing'"))
        try:
            await session.execute(RESTART)
        except DBAPIError as error:
            print(type(error).__name__, error.connection_invalidated)
            #> DBAPIError True
            print(error.orig)
            #> connection was closed in the middle of operation: terminating connection due to administrator command
        for guest in range(2, 4):
            try:
                await session.scalar(text("SELECT 'oolong'"))
            except PendingRollbackError as error:
                print(f"query {guest}:", error.args[0])
                #> query 2: Can't reconnect until invalid transaction is rolled back.  Please rollback() fully before proceeding
                #> query 3: Can't reconnect until invalid transaction is rolled back.  Please rollback() fully before proceeding
        await session.rollback()
        print(await session.scalar(text("SELECT 'oolong'")))
        #> oolong
    await engine.dispose()


asyncio.run(main())
