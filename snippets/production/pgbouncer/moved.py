"""After a commit a client may get a connection without its statements.

提交之后可能换一个连接，上面没有原来的预处理语句。
"""

import asyncio
import os

from sqlalchemy import text
from sqlalchemy.exc import DBAPIError
from sqlalchemy.ext.asyncio import create_async_engine

URL = os.environ["DATABASE_URL"]
CURE = {"statement_cache_size": 0, "prepared_statement_cache_size": 0}
LONGJING, OOLONG = text("SELECT 'longjing'"), text("SELECT 'oolong'")


async def order(connect_args: dict[str, int]) -> str:
    engine = create_async_engine(URL, connect_args=connect_args)
    async with engine.connect() as first, engine.connect() as second:
        await first.scalar(LONGJING)
        await first.commit()
        await second.scalar(OOLONG)  # now has the connection of the first
        try:
            said = str(await first.scalar(LONGJING))
        except DBAPIError as error:
            said = str(error.orig).partition("\n")[0]
    await engine.dispose()
    return said


async def main() -> None:
    print(await order({}))
    #> prepared statement "__asyncpg_stmt_5__" does not exist
    print(await order(CURE))
    #> longjing


asyncio.run(main())
