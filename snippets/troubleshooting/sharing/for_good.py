"""close_resets_only=False: a closed session refuses SQL instead of leaking.

close_resets_only=False：会话关闭后再用就报错，不会再借连接。
"""

import asyncio
import os

from sqlalchemy import text
from sqlalchemy.exc import InvalidRequestError
from sqlalchemy.ext.asyncio import async_sessionmaker, create_async_engine

engine = create_async_engine(os.environ["DATABASE_URL"])
strict = async_sessionmaker(engine, close_resets_only=False)
OOLONG = text("SELECT 'oolong'")


async def order() -> str:
    async with strict() as session:
        return str(await session.scalar(OOLONG))


async def main() -> None:
    async with strict() as session:
        await session.execute(OOLONG)
    try:
        await session.execute(OOLONG)
    except InvalidRequestError as error:
        print(error)
        #> This Session has been permanently closed and is unable to handle any more transaction requests.
    print(engine.pool.status())
    #> Pool size: 5  Connections in pool: 1 Current Overflow: -4 Current Checked out connections: 0
    print("a session of its own:", await asyncio.create_task(order()))
    #> a session of its own: oolong
    await engine.dispose()


asyncio.run(main())
