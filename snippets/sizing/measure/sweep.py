"""Finds the smallest pool that keeps up with the best, for your own query.

用你自己的查询，找出够用的最小连接池。
"""

import asyncio
import csv
import os
import sys
from collections.abc import Callable, Iterator
from dataclasses import asdict, dataclass
from itertools import pairwise
from pathlib import Path
from statistics import median
from time import perf_counter

import click
from sqlalchemy import make_url
from sqlalchemy.ext.asyncio import AsyncEngine, create_async_engine

NAME = f"sweep-{os.getpid()}"
WARM_UP = 0.2  # this share of each run is not counted
WORTH = 0.1  # a smaller difference in throughput is worth no connection
BACKENDS = "SELECT count(*) FROM pg_stat_activity WHERE application_name = "


@dataclass(frozen=True)
class Run:
    """One pool under load: the queries that ended while it was counted."""

    seconds: float
    waits: list[float]
    latencies: list[float]
    backends: int


@dataclass(frozen=True)
class Row:
    """All runs of one pool_size; times in milliseconds."""

    pool_size: int
    per_second: float
    slowest_run: float
    fastest_run: float
    wait: float
    p50: float
    p95: float
    p99: float
    backends: int

    @classmethod
    def of(cls, pool_size: int, runs: list[Run]) -> "Row":
        rates = [len(run.latencies) / run.seconds for run in runs]
        waits = sorted(wait for run in runs for wait in run.waits)
        times = sorted(time for run in runs for time in run.latencies)
        p50, p95, p99 = (times[len(times) * n // 100] * 1e3 for n in (50, 95, 99))
        return cls(
            pool_size, median(rates), min(rates), max(rates),
            waits[len(waits) // 2] * 1e3, p50, p95, p99,
            max(run.backends for run in runs),
        )  # fmt: skip

    @property
    def spread(self) -> float:
        return self.fastest_run - self.slowest_run


async def load(
    engine: AsyncEngine, query: str, tasks: int, seconds: float
) -> Run:
    """Let so many tasks run the query over and over, each in a transaction."""
    begin = perf_counter() + seconds * WARM_UP
    end = begin + seconds * (1 - WARM_UP)
    waits, latencies = list[float](), list[float]()

    async def task() -> None:
        while (asked := perf_counter()) < end:
            async with engine.begin() as connection:
                lent = perf_counter()
                if lent < end:
                    await connection.exec_driver_sql(query)
            if begin < (done := perf_counter()) < end:
                waits.append(lent - asked)
                latencies.append(done - asked)

    async with asyncio.TaskGroup() as group:
        for _ in range(tasks):
            group.create_task(task())
    async with engine.begin() as connection:
        seen = await connection.exec_driver_sql(f"{BACKENDS}'{NAME}'")
        return Run(end - begin, waits, latencies, seen.scalar_one())
