"""Where all write the same row, four connections are as fast as twenty.

大家都改同一行，二十个连接不比四个快。
"""

import asyncio
import os
from secrets import token_hex
from time import perf_counter

from sqlalchemy import text
from sqlalchemy.ext.asyncio import create_async_engine

URL = os.environ["DATABASE_URL"]
TEAPOT = f"guide_teapot_{token_hex(4)}"
SERVE = text(f"UPDATE {TEAPOT} SET cups = cups + 1")
POUR = text("SELECT pg_sleep(0.01)")


async def seconds_for_forty(pool_size: int) -> float:
    engine = create_async_engine(URL, pool_size=pool_size, max_overflow=0)

    async def guest() -> None:
        async with engine.begin() as connection:
            await connection.execute(SERVE)
            await connection.execute(POUR)

    start = perf_counter()
    await asyncio.gather(*(guest() for _ in range(40)))
    seconds = perf_counter() - start
    await engine.dispose()
    return seconds


async def main() -> None:
    engine = create_async_engine(URL)
    async with engine.begin() as connection:
        await connection.execute(text(f"CREATE TABLE {TEAPOT} (cups int)"))
        await connection.execute(text(f"INSERT INTO {TEAPOT} VALUES (0)"))
    four = await seconds_for_forty(pool_size=4)
    twenty = await seconds_for_forty(pool_size=20)
    print("20 connections are twice as fast as 4:", twenty < four / 2)
    #> 20 connections are twice as fast as 4: False
    async with engine.begin() as connection:
        cups = text(f"SELECT cups FROM {TEAPOT}")
        print("cups:", await connection.scalar(cups))
        #> cups: 80
        await connection.execute(text(f"DROP TABLE {TEAPOT}"))
    await engine.dispose()


asyncio.run(main())
