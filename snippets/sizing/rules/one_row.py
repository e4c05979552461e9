"""Where all write the same row, four connections are as fast as twenty.

大家都改同一行，二十个连接不比四个快。
"""

import asyncio
import os
from time import perf_counter

from sqlalchemy import text
from sqlalchemy.ext.asyncio import create_async_engine

URL = os.environ["DATABASE_URL"]
SERVE = text("UPDATE teapot SET cups = cups + 1")
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
        await connection.execute(text("CREATE TABLE teapot (cups int)"))
        await connection.execute(text("INSERT INTO teapot VALUES (0)"))
    four = await seconds_for_forty(pool_size=4)
    twenty = await seconds_for_forty(pool_size=20)
    print("20 connections are twice as fast as 4:", twenty < four / 2)
    #> 20 connections are twice as fast as 4: False
    async with engine.begin() as connection:
        print("cups:", await connection.scalar(text("SELECT cups FROM teapot")))
        #> cups: 80
        await connection.execute(text("DROP TABLE teapot"))
    await engine.dispose()


asyncio.run(main())
