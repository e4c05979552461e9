"""Connections in use are requests a second times the seconds each holds one.

在用的连接数，等于每秒请求数乘以每个请求占用连接的秒数。
"""

import asyncio
import os
from itertools import pairwise
from statistics import fmean
from time import perf_counter

from sqlalchemy import event, text
from sqlalchemy.ext.asyncio import create_async_engine

engine = create_async_engine(os.environ["DATABASE_URL"], pool_size=20)
in_use = [(0.0, 0)]  # since when, how many


@event.listens_for(engine.sync_engine, "checkout")
def lent(*_: object) -> None:
    in_use.append((perf_counter(), in_use[-1][1] + 1))


@event.listens_for(engine.sync_engine, "checkin")
def returned(*_: object) -> None:
    in_use.append((perf_counter(), in_use[-1][1] - 1))


async def guest(seconds: float) -> float:
    async with engine.connect() as connection:
        borrowed = perf_counter()
        await connection.execute(text(f"SELECT pg_sleep({seconds})"))
    return perf_counter() - borrowed


async def average_in_use(seconds: float) -> float:
    in_use[:] = [(perf_counter(), 0)]
    guests = []
    for _ in range(20):
        guests.append(asyncio.create_task(guest(seconds)))
        await asyncio.sleep(0.025)
    held = await asyncio.gather(*guests)
    duration = in_use[-1][0] - in_use[0][0]
    area = sum(n * (end - start) for (start, n), (end, _) in pairwise(in_use))
    ratio = (area / duration) / (len(guests) / duration * fmean(held))
    print("in use = requests a second × time held:", 0.8 < ratio < 1.25)
    #> in use = requests a second × time held: True
    #> in use = requests a second × time held: True
    return area / duration


async def main() -> None:
    long, short = await average_in_use(0.5), await average_in_use(0.05)
    print("held ten times as long, more in use:", long > short)
    #> held ten times as long, more in use: True
    await engine.dispose()


asyncio.run(main())
