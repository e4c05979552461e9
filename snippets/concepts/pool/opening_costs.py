"""Borrowing a connection is far cheaper than opening one.

借一个现成的连接，比新开一个便宜得多。
"""

import asyncio
import os
from time import perf_counter

from sqlalchemy import text
from sqlalchemy.ext.asyncio import AsyncEngine, create_async_engine
from sqlalchemy.pool import NullPool

URL = os.environ["DATABASE_URL"]
pooled = create_async_engine(URL)
unpooled = create_async_engine(URL, poolclass=NullPool)


async def seconds(engine: AsyncEngine) -> float:
    """How long it takes to get a connection, run a query and give it up."""
    start = perf_counter()
    async with engine.connect() as connection:
        await connection.execute(text("SELECT 'longjing'"))
    return perf_counter() - start


async def main() -> None:
    opening, borrowing = [], []
    for _ in range(30):
        opening.append(await seconds(unpooled))
        borrowing.append(await seconds(pooled))
    # A busy machine only adds time: the best of each says what it costs.
    print("opening costs 3 times as much:", min(opening) > 3 * min(borrowing))
    #> opening costs 3 times as much: True
    await pooled.dispose()


asyncio.run(main())
