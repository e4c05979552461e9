"""Finds the smallest pool that keeps up with the best, for a query of yours.

用你自己的查询，找出够用的最小连接池。
"""

import asyncio
import csv
import logging
import os
import sys
from collections.abc import Callable, Iterator, Sequence
from contextlib import AsyncExitStack
from dataclasses import dataclass
from functools import partial
from itertools import pairwise
from pathlib import Path
from statistics import median
from time import perf_counter
from typing import Any, NamedTuple

import click
from sqlalchemy import make_url
from sqlalchemy.ext.asyncio import AsyncEngine, create_async_engine

NAME = f"sweep-{os.getpid()}"
BACKENDS = (
    f"SELECT count(*) FROM pg_stat_activity WHERE application_name = '{NAME}'"
)
WARM_UP = 0.3  # the share of a run that is not counted
WORTH = 0.1  # a smaller gain in throughput is not worth a connection


@dataclass(frozen=True)
class Plan:
    """What to measure, and for how long."""

    url: str
    query: str
    sizes: Sequence[int] = (1, 2, 4, 8, 16, 32)
    tasks: int = 32
    repeats: int = 5
    seconds: float = 60
    writes: bool = False


class Run(NamedTuple):
    """One pool under load: the queries that ended while it was counted."""

    seconds: float
    waits: list[float]
    latencies: list[float]
    backends: int


class Row(NamedTuple):
    """The runs of one size: queries a second, and milliseconds."""

    pool_size: int
    rate: float
    slowest: float
    fastest: float
    wait_ms: float
    p50_ms: float
    p95_ms: float
    p99_ms: float
    backends: int


def new_engine(plan: Plan, pool_size: int) -> AsyncEngine:
    return create_async_engine(
        make_url(plan.url).set(drivername="postgresql+asyncpg"),
        pool_size=pool_size,
        max_overflow=0,
        pool_timeout=None,
        # Transactions BEGIN READ ONLY: it is PostgreSQL that refuses to write.
        execution_options={"postgresql_readonly": not plan.writes},
        connect_args={
            "timeout": 10,
            "server_settings": {"application_name": NAME},
        },
    )


async def load(
    engine: AsyncEngine, plan: Plan, pool_size: int, seconds: float
) -> Run:
    """Fill the pool, then have all tasks run the query again and again."""
    end = perf_counter() + seconds
    async with AsyncExitStack() as lent:
        for _ in range(min(pool_size, plan.tasks)):
            await lent.enter_async_context(engine.connect())
    now = perf_counter()
    end = max(end, now + seconds / 2)
    begin = now + WARM_UP * (end - now)
    waits, latencies = list[float](), list[float]()

    async def task() -> None:
        while (asked := perf_counter()) < end:
            async with engine.begin() as connection:
                borrowed = perf_counter()
                if borrowed < end:
                    await connection.exec_driver_sql(plan.query)
            if begin < (done := perf_counter()) < end:
                waits.append(borrowed - asked)
                latencies.append(done - asked)

    async with asyncio.TaskGroup() as group:
        for _ in range(plan.tasks):
            group.create_task(task())
    async with engine.begin() as connection:
        backends = await connection.exec_driver_sql(BACKENDS)
        return Run(end - begin, waits, latencies, backends.scalar_one())


async def sweep(
    plan: Plan, done: Callable[[int], object] = lambda _: None
) -> dict[int, list[Run]]:
    """Take the sizes in turn, up and down, so that a slow minute hits all."""
    sizes = sorted(set(plan.sizes))
    runs: dict[int, list[Run]] = {size: [] for size in sizes}
    order = [size for n in range(plan.repeats) for size in sizes[:: (-1) ** n]]
    end = perf_counter() + plan.seconds
    for number, size in enumerate(order):
        remains = end - perf_counter()
        share = 0.95 * remains / (len(order) - number)
        engine = new_engine(plan, size)
        try:
            async with asyncio.timeout(remains) as limit:
                run = await load(engine, plan, size, share)
        except TimeoutError:
            if not limit.expired():
                raise
            break
        finally:
            await engine.dispose()
        if run.waits:
            runs[size].append(run)
        done(1)
    return runs


def summary(pool_size: int, runs: Sequence[Run]) -> Row:
    rates = [len(run.waits) / run.seconds for run in runs]
    waits = sorted(1000 * wait for run in runs for wait in run.waits)
    times = sorted(1000 * time for run in runs for time in run.latencies)
    percentiles = [times[len(times) * n // 100] for n in (50, 95, 99)]
    found = median(rates), min(rates), max(rates), median(waits), *percentiles
    rate, slowest, fastest, wait, p50, p95, p99 = (round(n, 2) for n in found)
    backends = max(run.backends for run in runs)
    return Row(pool_size, rate, slowest, fastest, wait, p50, p95, p99, backends)


def verdict(rows: Sequence[Row]) -> Iterator[str]:
    """What the rows say, and what noise keeps them from saying."""
    best = max(row.rate for row in rows)
    enough = next(row for row in rows if row.rate >= (1 - WORTH) * best)
    yield (
        f"pool_size={enough.pool_size} is the smallest whose rate is within"
        f" {WORTH:.0%} of the best."
    )
    noisy = []
    for one, other in pairwise(rows):
        gain = abs(one.rate - other.rate)
        spread = max(row.fastest - row.slowest for row in (one, other))
        if spread > max(gain, WORTH * max(one.rate, other.rate)):
            noisy.append(f"{one.pool_size} and {other.pool_size}")
    if noisy:
        worst = max((row.fastest - row.slowest) / row.rate for row in rows)
        yield f"Too noisy to tell apart: {', '.join(noisy)}."
        yield (
            f"Runs of one size differ by up to {worst:.0%}:"
            " quieten the machine, or give more --seconds."
        )


def table(rows: Sequence[Row]) -> str:
    lines = [Row._fields, *rows]
    return "\n".join("".join(f"{cell:>9}" for cell in line) for line in lines)


def chart(rows: Sequence[Row]) -> str:
    """The rows as SVG: a dot for the middle, a line from low to high."""
    speed = "queries a second, by pool_size: slowest run, median, fastest run"
    speeds = [(row.slowest, row.rate, row.fastest) for row in rows]
    delay = "milliseconds, by pool_size: p50, p95, p99"
    delays = [(row.p50_ms, row.p95_ms, row.p99_ms) for row in rows]
    parts = [
        '<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 640 440"><style>'
        "svg{color:#222;background:#fff;font:14px sans-serif}"
        "@media(prefers-color-scheme:dark){svg{color:#ddd;background:#181818}}"
        "text,circle{fill:currentColor}line{stroke:currentColor}</style>"
    ]
    for top, title, marks in ((30, speed, speeds), (240, delay, delays)):
        parts.append(f'<text x="20" y="{top}">{title}</text>')
        scale = 120 / max(high for _, _, high in marks)
        for number, (row, mark) in enumerate(zip(rows, marks, strict=True)):
            x = 40 + 580 * number // len(rows)
            low, middle, high = (top + 155 - scale * value for value in mark)
            parts.append(
                f'<line x1="{x}" x2="{x}" y1="{low:.0f}" y2="{high:.0f}"/>'
                f'<circle cx="{x}" cy="{middle:.0f}" r="4"/>'
                f'<text x="{x + 9}" y="{middle + 5:.0f}">{mark[1]:.3g}</text>'
                f'<text x="{x - 4}" y="{top + 178}">{row.pool_size}</text>'
            )
    return "\n".join([*parts, "</svg>\n"])


def reason(error: BaseException) -> str:
    """What PostgreSQL, asyncpg or the network said, on one line."""
    while isinstance(error, BaseExceptionGroup):
        error = error.exceptions[0]
    cause = getattr(error, "orig", None) or error
    cause = cause.__cause__ or cause
    line = str(cause).partition("\n")[0] or f"no answer, {cause!r}"
    if getattr(cause, "sqlstate", None) == "25006":
        line += "; add --writes if it may write, and if that may stay"
    return line


COUNT = click.IntRange(1)
FOLDER = click.Path(exists=True, file_okay=False, writable=True, path_type=Path)
option = partial(click.option, show_default=True)


@click.command()
@click.argument("query")
@option("--url", envvar="DATABASE_URL", show_envvar=True, required=True)
@option("--size", "sizes", multiple=True, type=COUNT, default=Plan.sizes)
@option("--tasks", default=32, type=COUNT, help="How many run QUERY at once.")
@option("--repeats", default=5, type=COUNT, help="Runs of each size.")
@option("--seconds", default=60.0, help="Time for all runs.")
@option("--writes", is_flag=True, help="QUERY may write, and is committed.")
@option("--into", default=".", type=FOLDER, help="For sweep.csv, sweep.svg.")
def main(into: Path, **options: Any) -> None:
    """Run QUERY with pools of several sizes, and compare them."""
    logging.disable()  # of connections that were cut, we speak ourselves
    plan = Plan(**options)
    count = len(plan.sizes) * plan.repeats
    try:
        with click.progressbar(
            length=count, label="Measuring", file=sys.stderr
        ) as bar:
            found = asyncio.run(sweep(plan, bar.update))
    except Exception as error:
        raise click.ClickException(reason(error)) from error
    rows = [summary(size, runs) for size, runs in found.items() if runs[1:]]
    if rows:
        with (into / "sweep.csv").open("w", newline="") as file:
            csv.writer(file).writerows([Row._fields, *rows])
        (into / "sweep.svg").write_text(chart(rows))
        click.echo("\n".join([table(rows), *verdict(rows)]))
    if missing := [str(size) for size, runs in found.items() if not runs[1:]]:
        raise click.ClickException(
            f"too little time for two runs of pool_size {', '.join(missing)}:"
            " give more --seconds"
        )


if __name__ == "__main__":
    main()
