"""In session mode an idle pool keeps PgBouncer's connections from others.

会话模式下，空闲的连接池占着 PgBouncer 的连接，别人拿不到。
"""

import asyncio
import os

from sqlalchemy import text
from sqlalchemy.exc import DBAPIError
from sqlalchemy.ext.asyncio import create_async_engine

URL = os.environ["DATABASE_URL"]
LONGJING = text("SELECT 'longjing'")


async def main() -> None:
    idle, busy = create_async_engine(URL), create_async_engine(URL)
    async with idle.connect() as first, idle.connect() as second:
        await first.scalar(LONGJING)
        await second.scalar(LONGJING)
    print(idle.pool.status().partition(" Current")[0])
    #> Pool size: 5  Connections in pool: 2
    try:
        async with busy.connect() as connection:
            await connection.scalar(LONGJING)
    except DBAPIError as error:
        print(error.orig)
        #> connection was closed in the middle of operation: query_wait_timeout
    await idle.dispose()
    async with busy.connect() as connection:
        print(await connection.scalar(LONGJING))
        #> longjing
    await busy.dispose()


asyncio.run(main())
