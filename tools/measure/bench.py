"""Measure what the page `sizing/measured` shows: `make bench`.

Takes about four minutes on a machine that has nothing else to do. Writes `docs/measured.json`, the
charts of both languages, and, beside the script for readers, what it printed.
"""

import asyncio
import contextlib
import datetime
import os
import re
import subprocess
import sys
import tempfile
from collections.abc import AsyncIterator, Sequence
from itertools import chain
from pathlib import Path
from statistics import fmean, median
from time import perf_counter
from typing import Any

import click
from sqlalchemy.ext.asyncio import AsyncEngine, create_async_engine
from sqlalchemy.pool import NullPool

from snippets.sizing.measure.sweep import Plan, summary, sweep
from tools.measure import charts
from tools.paths import SNIPPETS
from tools.postgres import Proxy, find_postgres, fresh_database
from tools.proof.record import current_versions
from tools.proof.seals import describe_run, write_sealed

SCRIPT = SNIPPETS / "sizing/measure/sweep.py"
QUERIES = {
    "waiting": "SELECT pg_sleep(0.005)",
    "computing": "SELECT count(*) FROM generate_series(1, 40000)",
}
WAYS: dict[str, dict[str, Any]] = {
    "new": {"poolclass": NullPool},
    "ping": {"pool_pre_ping": True},
    "pooled": {},
    "autocommit": {"isolation_level": "AUTOCOMMIT"},
}
"""How an engine can come by a connection."""
SIZES = (1, 2, 4, 8, 16, 32, 64)
REPEATS = 5
ROUND_TRIP = 0.01
"""Seconds to the far server and back."""


def bench(seconds: float = 180.0) -> None:
    """Measure, and write the record and all that is made of it.

    Args:
        seconds: How long the three sweeps may take together.

    Raises:
        PostgresError: There is no PostgreSQL to measure.
        click.ClickException: A sweep had too little time.
    """
    with find_postgres() as server, fresh_database(server.url) as url:
        record = {
            "date": datetime.date.today().isoformat(),
            "processor": find_processor(),
            "cores": os.cpu_count(),
            "versions": current_versions(server),
            "queries": QUERIES,
            "tasks": max(SIZES),
            "repeats": REPEATS,
            "round_trip_ms": 1000 * ROUND_TRIP,
            "borrowing": asyncio.run(measure_borrowing(url)),
            **{kind: asyncio.run(measure_sizes(url, kind, seconds * 0.4)) for kind in QUERIES},
            "neighbor": asyncio.run(measure_neighbor(url)),
        }
        printed = run_as_reader(url, seconds * 0.2)
    charts.write_and_draw(record)
    head = f"{describe_run(SCRIPT)}\n{charts.software(record)}"
    write_sealed(SCRIPT.with_suffix(".txt"), f"{head}\n\n{printed}")


def find_processor() -> str:
    """What Linux calls it; else the architecture."""
    with contextlib.suppress(OSError):
        names = re.findall(
            r"^model name\s*: (.+)$", Path("/proc/cpuinfo").read_text("utf-8"), re.MULTILINE
        )
        if names:
            return str(names[0])
    return os.uname().machine


async def measure_sizes(url: str, kind: str, seconds: float) -> list[dict[str, float]]:
    """The reader's sweep, with one of the queries.

    Args:
        url: The database.
        kind: A key of `QUERIES`.
        seconds: How long the whole sweep may take.

    Returns:
        For each size of `SIZES`: throughput, percentiles, and the means of waiting and in all.

    Raises:
        click.ClickException: The time was over before each size had one run.
    """
    plan = Plan(url, QUERIES[kind], SIZES, max(SIZES), REPEATS, seconds)
    with click.progressbar(length=len(SIZES) * REPEATS, label=kind) as bar:
        runs = await sweep(plan, bar.update)
    if missing := [size for size in SIZES if not runs[size]]:
        raise click.ClickException(f"{kind}: no run of {missing} ended; wait for a quiet machine")
    return [
        {
            **summary(size, runs[size])._asdict(),
            "mean_wait_ms": round(1000 * fmean(chain(*(run.waits for run in runs[size]))), 2),
            "mean_ms": round(1000 * fmean(chain(*(run.latencies for run in runs[size]))), 2),
        }
        for size in SIZES
    ]


async def measure_borrowing(url: str) -> list[dict[str, Any]]:
    """How long one small query takes, near and far, on a connection of each kind."""
    async with delayed(url, ROUND_TRIP / 2) as far:
        engines = {
            (place, way): create_async_engine(address, **options)
            for place, address in (("near", url), ("far", far))
            for way, options in WAYS.items()
        }
        medians: dict[tuple[str, str], list[float]] = {key: [] for key in engines}
        with click.progressbar(range(REPEATS), label="borrowing") as repeats:
            for _ in repeats:
                for key, engine in engines.items():
                    _, *took = [await seconds_of("SELECT 1", engine) for _ in range(11)]
                    medians[key].append(median(took))
        for engine in engines.values():
            await engine.dispose()
    return [
        {"place": place, "way": way, **spread(found)} for (place, way), found in medians.items()
    ]


async def measure_neighbor(url: str) -> list[dict[str, float]]:
    """What somebody else's query takes while a pool of each size computes."""
    one = create_async_engine(url)
    medians: dict[int, list[float]] = {size: [] for size in SIZES}
    with click.progressbar(SIZES * REPEATS, label="neighbor") as sizes:
        for size in sizes:
            async with busy(url, size):
                _, *took = [await seconds_of(QUERIES["computing"], one) for _ in range(21)]
            medians[size].append(median(took))
    await one.dispose()
    return [{"pool_size": size, **spread(found)} for size, found in medians.items()]


@contextlib.asynccontextmanager
async def busy(url: str, pool_size: int) -> AsyncIterator[None]:
    """A pool of so many connections, all of which compute meanwhile."""
    engine = create_async_engine(url, pool_size=pool_size)
    left, all_in = asyncio.Event(), asyncio.Barrier(pool_size + 1)

    async def task() -> None:
        async with engine.connect() as connection:
            await all_in.wait()
            while not left.is_set():
                await connection.exec_driver_sql(QUERIES["computing"])

    async with asyncio.TaskGroup() as tasks:
        for _ in range(pool_size):
            tasks.create_task(task())
        await all_in.wait()
        yield
        left.set()
    await engine.dispose()


@contextlib.asynccontextmanager
async def delayed(url: str, seconds: float) -> AsyncIterator[str]:
    """The same database, each message of which takes so many seconds, in each direction."""
    async with Proxy(url) as proxy:
        proxy.delay = seconds
        yield proxy.url.render_as_string(hide_password=False)


async def seconds_of(query: str, engine: AsyncEngine) -> float:
    """How long it takes to get a connection, run the query and give it back."""
    start = perf_counter()
    async with engine.connect() as connection:
        await connection.exec_driver_sql(query)
    return perf_counter() - start


def run_as_reader(url: str, seconds: float) -> str:
    """The command line that runs the script for so many seconds at most, and what that prints."""
    query, limit = QUERIES["waiting"], f"{seconds:.0f}"
    with tempfile.TemporaryDirectory(prefix="bench-") as folder:
        ran = subprocess.run(
            [sys.executable, SCRIPT, query, "--seconds", limit, "--into", folder],
            env={**os.environ, "DATABASE_URL": url},
            stdout=subprocess.PIPE, encoding="utf-8", check=True,
        )  # fmt: skip
    return f'$ python {SCRIPT.name} "{query}" --seconds {limit}\n{ran.stdout}'


def spread(seconds: Sequence[float]) -> dict[str, float]:
    """The middle of several runs and both ends, in milliseconds."""
    found = {"median": median(seconds), "fastest": min(seconds), "slowest": max(seconds)}
    return {f"{name}_ms": round(1000 * value, 2) for name, value in found.items()}
