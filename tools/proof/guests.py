"""Settings of a driver tried through PgBouncer: `python guests.py ROW...` prints what came of each.

Runs with any version of asyncpg, in an environment that has nothing but it and SQLAlchemy; so it
imports nothing of ours. PgBouncer has two connections to the server for each name of a database,
and gives out the one that came back last.
"""

import asyncio
import json
import logging
import multiprocessing
import os
import sys
import uuid
from collections.abc import Awaitable, Callable, Coroutine
from multiprocessing.connection import Connection
from multiprocessing.synchronize import Barrier
from typing import Any

import asyncpg  # type: ignore[import-untyped]  # noqa: F401  (before the processes are forked)
from sqlalchemy import make_url, text
from sqlalchemy.ext.asyncio import AsyncConnection, AsyncEngine, create_async_engine
from sqlalchemy.pool import NullPool

SA_0 = {"prepared_statement_cache_size": 0}
ASYNCPG_0 = {"statement_cache_size": 0}
BOTH_0 = {**SA_0, **ASYNCPG_0}
UNIQUE = {"prepared_statement_name_func": lambda: f"__asyncpg_{uuid.uuid4()}__"}
EMPTY = {"prepared_statement_name_func": lambda: ""}
ROWS: dict[str, dict[str, Any]] = {
    "defaults": {},
    "SQLAlchemy's cache 0": SA_0,
    "asyncpg's cache 0": ASYNCPG_0,
    "both caches 0": BOTH_0,
    "unique names": UNIQUE,
    "unique names, both 0": {**UNIQUE, **BOTH_0},
    "NullPool": {},
    "NullPool, unique names": UNIQUE,
    "NullPool, unique names, both 0": {**UNIQUE, **BOTH_0},
    'names "", SQLAlchemy\'s cache 0': {**EMPTY, **SA_0},
    "psycopg, defaults": {},
    "psycopg, prepare_threshold=None": {"prepare_threshold": None},
}
"""The rows of the table, and `connect_args` of each; pool and driver are in its name."""
TRANSACTIONS = 20
"""How many the next process makes before it counts what is left on its connection."""
PATIENCE = 30.0
"""Seconds one of the two waits for the other."""
FORK = multiprocessing.get_context("fork")


def make_engine(row: str, **options: Any) -> AsyncEngine:
    """The engine of a row."""
    driver = "psycopg" if row.startswith("psycopg") else "asyncpg"
    pool = {"poolclass": NullPool} if "NullPool" in row else {"pool_size": 6}
    url = make_url(os.environ["DATABASE_URL"])
    url = url.set(
        drivername=f"postgresql+{driver}", database=row
    )  # a name with connections of its own
    return create_async_engine(url, connect_args=ROWS[row], **pool, **options)


async def order(connection: AsyncConnection, tea: str) -> str:
    """Ask six times: psycopg prepares what comes a sixth time."""
    for _ in range(6):
        if await connection.scalar(text(f"SELECT '{tea}'")) != tea:
            return "WRONG ROWS"
    return "ok"


async def outcome(asking: Awaitable[str]) -> str:
    """What came of it; of an error, the words that matter."""
    try:
        return await asking
    except Exception as error:
        found = (words for words in ("already exists", "does not exist") if words in str(error))
        return next(found, type(error).__name__)


async def visit(engine: AsyncEngine, tea: str) -> str:
    """Orders in a transaction."""
    async with engine.begin() as connection:
        return await order(connection, tea)


async def guest(row: str, tea: str, is_first: bool, turn: Barrier) -> str:
    """One of two processes; the first comes again and is given the connection of the second."""
    engine = make_engine(row)
    if not is_first:
        turn.wait(PATIENCE)  # the first holds a connection
    async with engine.begin() as connection:
        await order(connection, tea)
        if is_first:
            turn.wait(PATIENCE)
        turn.wait(PATIENCE)  # both hold one
        if not is_first:
            turn.wait(PATIENCE)  # the first has returned its own
    if is_first:
        turn.wait(PATIENCE)
    turn.wait(PATIENCE)  # the second as well: its own comes next
    said = await outcome(visit(engine, tea)) if is_first else "ok"
    await engine.dispose()
    return said


async def newcomer(row: str) -> tuple[str, int | None]:
    """A process that starts later, and how many statements its connection has afterwards."""
    engine = make_engine(row)

    async def visits() -> str:
        for number in range(TRANSACTIONS):
            await visit(engine, ("longjing", "oolong", "pu-erh")[number % 3])
        return "ok"

    said, left = await outcome(visits()), None
    if said == "ok":
        async with engine.connect() as connection:
            left = await connection.scalar(text("SELECT count(*) FROM pg_prepared_statements"))
    await engine.dispose()
    return said, left


async def crowd(row: str, **options: Any) -> str:
    """Six tasks at once on the two connections, five times from the login on."""
    engine = make_engine(row, **options)
    said = set[str]()
    for _ in range(5):
        teas = ("longjing", "oolong", "pu-erh") * 2
        said |= {*await asyncio.gather(*(outcome(visit(engine, tea)) for tea in teas))}
        await engine.dispose()
    return "ok" if said == {"ok"} else "fails"  # each time in another way


def start(role: Callable[..., Coroutine[Any, Any, Any]], *given: Any, **options: Any) -> Connection:
    """Run it in a process of its own; what it returns comes through the connection."""
    ours, theirs = FORK.Pipe(duplex=False)
    FORK.Process(target=lambda: theirs.send(asyncio.run(role(*given, **options)))).start()
    theirs.close()
    return ours


def try_row(row: str) -> list[Any]:
    """What comes of a row, by the columns of the table."""
    turn = FORK.Barrier(2)
    first = start(guest, row, "longjing", True, turn)
    second = start(guest, row, "oolong", False, turn)
    moved, _ = first.recv(), second.recv()
    following, left = start(newcomer, row).recv()
    at_once = [start(crowd, row) for _ in range(2)]
    autocommit = start(crowd, row, isolation_level="AUTOCOMMIT").recv()
    return [
        moved,
        following,
        min(each.recv() for each in at_once),
        autocommit,
        left,
    ]  # "fails" < "ok"


if __name__ == "__main__":
    logging.disable(logging.CRITICAL)
    json.dump({row: try_row(row) for row in sys.argv[1:]}, sys.stdout)
