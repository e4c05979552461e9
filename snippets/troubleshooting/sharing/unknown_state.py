"""A connection closed under a running query: unknown protocol state 3.

查询还没收到结果，连接就被别的任务关掉：unknown protocol state 3。
"""

import asyncio
import os

from sqlalchemy import text
from sqlalchemy.exc import InternalError
from sqlalchemy.ext.asyncio import create_async_engine

engine = create_async_engine(os.environ["DATABASE_URL"])
OOLONG = text("SELECT 'oolong'")


async def main() -> None:
    # close() may cut off asyncpg's own request to cancel, which asyncio reports
    asyncio.get_running_loop().set_exception_handler(lambda *_: None)
    async with engine.connect() as connection:
        await connection.execute(OOLONG)
        driver = (await connection.get_raw_connection()).driver_connection
        brewing = asyncio.create_task(connection.execute(OOLONG))
        await asyncio.sleep(0)  # its turn: it sends the query
        assert driver
        await driver.close()
        try:
            await brewing
        except InternalError as error:
            print(error.orig)
            #> got result for unknown protocol state 3
            print("invalidated:", error.connection_invalidated)
            #> invalidated: True

    async def order() -> str:
        async with engine.connect() as connection:
            return str(await connection.scalar(OOLONG))

    print("a connection each:", *await asyncio.gather(order(), order()))
    #> a connection each: oolong oolong
    await engine.dispose()


asyncio.run(main())
