"""A pool that is too small shows in the wait for a connection.

池开小了，看等连接的时间就知道。
"""

import asyncio
import os
from statistics import median
from time import perf_counter

from sqlalchemy import text
from sqlalchemy.ext.asyncio import create_async_engine

URL = os.environ["DATABASE_URL"]
QUERY = text("SELECT pg_sleep(0.05)")


async def waits_and_answers(pool_size: int, tasks: int) -> tuple[float, float]:
    engine = create_async_engine(URL, pool_size=pool_size, max_overflow=0)
    waits, answers = [], []

    async def task() -> None:
        for _ in range(3):
            asked = perf_counter()
            async with engine.connect() as connection:
                borrowed = perf_counter()
                await connection.execute(QUERY)
                waits.append(borrowed - asked)
                answers.append(perf_counter() - borrowed)

    async with asyncio.TaskGroup() as group:
        for _ in range(tasks):
            group.create_task(task())
    await engine.dispose()
    return median(waits), median(answers)


async def main() -> None:
    for pool_size in (2, 16):
        wait, answer = await waits_and_answers(pool_size, tasks=16)
        print(f"{pool_size}: the wait is most of the latency:", wait > answer)
        #> 2: the wait is most of the latency: True
        #> 16: the wait is most of the latency: False


asyncio.run(main())
