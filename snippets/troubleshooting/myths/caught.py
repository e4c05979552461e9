"""Catching an error does not return the connection; closing the session does.

捕获异常不会归还连接，关闭会话才会。
"""

import asyncio
import os

from sqlalchemy import text
from sqlalchemy.exc import DBAPIError
from sqlalchemy.ext.asyncio import async_sessionmaker, create_async_engine

engine = create_async_engine(os.environ["DATABASE_URL"])
async_session = async_sessionmaker(engine)


async def main() -> None:
    session = async_session()
    try:
        await session.execute(text("SELECT 1 / 0"))
    except DBAPIError:
        print("caught:", engine.pool.status())
        #> caught: Pool size: 5  Connections in pool: 0 Current Overflow: -4 Current Checked out connections: 1
    await session.close()
    print("closed:", engine.pool.status())
    #> closed: Pool size: 5  Connections in pool: 1 Current Overflow: -4 Current Checked out connections: 0
    await engine.dispose()


asyncio.run(main())
