"""Engines that are disposed after the test, and what tests ask of their pools."""

from collections.abc import Callable, Mapping
from contextlib import AsyncExitStack
from typing import Any

import pytest
from sqlalchemy import URL, QueuePool, Table, event, insert, make_url, text
from sqlalchemy.ext.asyncio import AsyncEngine

from tools.postgres import Proxy

MakeEngine = Callable[..., AsyncEngine]
"""The fixture `make_engine`: `create_async_engine`, for the test's database by default.

What it makes is disposed after the test, whether that passes or fails.
"""

both_drivers = pytest.mark.parametrize("driver", ["asyncpg", "psycopg"])
"""For a test that takes the name of a driver."""

leaves_open = pytest.mark.filterwarnings("ignore::ResourceWarning")
"""For a test that leaves a connection to the garbage collector, because that is what it shows."""


def with_psycopg(url: str | URL) -> URL:
    """The same database, for the other driver."""
    return make_url(url).set(drivername="postgresql+psycopg")


async def run_sql(engine: AsyncEngine, *statements: str) -> None:
    """Execute them in one transaction."""
    async with engine.begin() as connection:
        for statement in statements:
            await connection.execute(text(statement))


def cut_at_login(proxy: Proxy) -> None:
    """Let a proxy cut the line at the second answer of the server, amid a login."""
    answers: list[bytes] = []

    def cut_after_the_first_answer(side: str, data: bytes) -> bytes:
        if side == "server":
            answers.append(data)
        if len(answers) > 1:
            proxy.cut()
        return data

    proxy.edit = cut_after_the_first_answer


def engine_for(
    make: MakeEngine, url: str | URL, driver: str = "asyncpg", **options: Any
) -> AsyncEngine:
    """An engine of this driver for a URL of asyncpg's."""
    return make(make_url(url).set(drivername=f"postgresql+{driver}"), **options)


def one_connection(
    make: MakeEngine, *url: str | URL, pool_timeout: float | None = 0, **options: Any
) -> AsyncEngine:
    """An engine that lends a single connection; by default, nobody may wait for it.

    Args:
        make: The fixture, or `create_async_engine`.
        *url: A database, if not the test's.
        pool_timeout: For how many seconds one may wait; None for as long as it takes.
        **options: Others of the engine.
    """
    return make(*url, pool_size=1, max_overflow=0, pool_timeout=pool_timeout, **options)


async def use(engine: AsyncEngine) -> str:
    """Borrow a connection for one query; what that answers, `oolong`."""
    async with engine.connect() as connection:
        return str(await connection.scalar(text("SELECT 'oolong'")))


async def backend_of(engine: AsyncEngine) -> int:
    """Borrow a connection for one query; the process number of the backend that answers it."""
    async with engine.connect() as connection:
        return int(await connection.scalar(text("SELECT pg_backend_pid()")) or 0)


async def borrow(engine: AsyncEngine, number: int, lent: AsyncExitStack) -> None:
    """Check out so many connections until `lent` closes."""
    for _ in range(number):
        await lent.enter_async_context(engine.connect())


async def engine_with_rows(
    make: MakeEngine, url: str, driver: str, table: Table, *rows: Mapping[str, object]
) -> AsyncEngine:
    """An engine of this driver, whose database has this table with these rows."""
    engine = engine_for(make, url, driver)
    async with engine.begin() as connection:
        await connection.run_sync(table.create)
        await connection.execute(insert(table), rows)
    return engine


def pool_of(engine: AsyncEngine) -> QueuePool:
    """The engine's pool, with the counters that only a queue has."""
    assert isinstance(engine.pool, QueuePool)
    return engine.pool


def checked_out(engine: AsyncEngine) -> int:
    """How many connections the engine's pool counts as lent."""
    return pool_of(engine).checkedout()


def record(engine: AsyncEngine, *names: str) -> list[str]:
    """A list that grows by the name of each of these events."""
    happened: list[str] = []
    for name in names:
        event.listen(engine.sync_engine, name, lambda *_, name=name: happened.append(name))
    return happened


def record_queries(engine: AsyncEngine) -> list[str]:
    """A list that grows by each query of asyncpg, also those SQLAlchemy does not know of."""
    sent: list[str] = []

    @event.listens_for(engine.sync_engine, "connect")
    def listen(connection: Any, _: object) -> None:
        connection.driver_connection.add_query_logger(lambda record: sent.append(record.query))

    return sent
