"""A probe that borrows from an exhausted pool fails, though all is well.

探针从打满的连接池借连接会失败，尽管什么都没坏。
"""

import asyncio
import os

from sqlalchemy import NullPool, text
from sqlalchemy.exc import TimeoutError
from sqlalchemy.ext.asyncio import AsyncEngine, create_async_engine

URL = os.environ["DATABASE_URL"]
engine = create_async_engine(URL, pool_size=1, max_overflow=0, pool_timeout=1)
probing = create_async_engine(URL, poolclass=NullPool)


async def ready(engine: AsyncEngine) -> str:
    try:
        async with engine.connect() as connection:
            await connection.execute(text("SELECT 1"))
    except TimeoutError as error:
        return str(error).partition(",")[0]
    return "ready"


async def main() -> None:
    async with engine.connect() as guest:
        await guest.execute(text("SELECT 'a long order'"))
        print("from the pool:", await ready(engine))
        #> from the pool: QueuePool limit of size 1 overflow 0 reached
        print("own connection:", await ready(probing))
        #> own connection: ready
    print("from the pool, later:", await ready(engine))
    #> from the pool, later: ready
    await engine.dispose()


asyncio.run(main())
