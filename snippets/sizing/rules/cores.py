"""Queries that wait need more connections than the database has cores.

等待型的查询，连接数可以远多于数据库的核数。
"""

import asyncio
import os
from time import perf_counter

from sqlalchemy import text
from sqlalchemy.ext.asyncio import create_async_engine

WAITS = text("SELECT pg_sleep(0.3)")


async def seconds_for_forty(pool_size: int) -> float:
    engine = create_async_engine(
        os.environ["DATABASE_URL"], pool_size=pool_size, max_overflow=0
    )
    all_in = asyncio.Barrier(pool_size)

    async def borrow() -> None:
        async with engine.connect():
            await all_in.wait()

    async def guest() -> None:
        async with engine.connect() as connection:
            await connection.execute(WAITS)

    await asyncio.gather(*(borrow() for _ in range(pool_size)))  # opens them
    start = perf_counter()
    await asyncio.gather(*(guest() for _ in range(40)))
    seconds = perf_counter() - start
    await engine.dispose()
    return seconds


async def main() -> None:
    five = await seconds_for_forty(pool_size=2 * 2 + 1)
    twenty = await seconds_for_forty(pool_size=20)
    print("20 connections are faster than 2 × 2 + 1:", twenty < five)
    #> 20 connections are faster than 2 × 2 + 1: True


asyncio.run(main())
