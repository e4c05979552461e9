"""Event loops that run at the same time need an engine each.

同时跑的几个事件循环，要每个循环一个引擎。
"""

import asyncio
import os
from concurrent.futures import ThreadPoolExecutor

from sqlalchemy import text
from sqlalchemy.ext.asyncio import AsyncEngine, create_async_engine

URL = os.environ["DATABASE_URL"]
shared = create_async_engine(URL)


async def order(engine: AsyncEngine) -> str:
    async with engine.connect() as connection:
        return str(await connection.scalar(text("SELECT 'oolong'")))


async def order_by_its_own_engine() -> str:
    engine = create_async_engine(URL)
    try:
        return await order(engine)
    finally:
        await engine.dispose()


async def main() -> None:
    print("main thread:", await order(shared))
    #> main thread: oolong
    with ThreadPoolExecutor() as threads:
        error = threads.submit(asyncio.run, order(shared)).exception()
        print("a thread, the same engine:", str(error).split("> ")[-1])
        #> a thread, the same engine: attached to a different loop
        own = [
            threads.submit(asyncio.run, order_by_its_own_engine())
            for _ in range(4)
        ]
        print("an engine each:", *(drink.result() for drink in own))
        #> an engine each: oolong oolong oolong oolong
    await shared.dispose(close=False)


asyncio.run(main())
