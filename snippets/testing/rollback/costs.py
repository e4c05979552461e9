"""What it costs to have empty tables again: a rollback, a truncate, a new database or a copy.

表重新变空要花多少时间：回滚、清表、建新库、拷贝模板库。
"""

import asyncio
import os
import statistics
import time
from collections.abc import Awaitable, Callable
from secrets import token_hex

from sqlalchemy import TextClause, make_url, text
from sqlalchemy.ext.asyncio import AsyncConnection, create_async_engine

URL = os.environ.get("DATABASE_URL", "")
TOKEN = token_hex(4)
SCHEMA = DATABASE = f"guide_tests_{TOKEN}"
TEMPLATE = f"guide_template_{TOKEN}"
TABLES = [f"{SCHEMA}.orders_{number}" for number in range(20)]
COLUMNS = "id int GENERATED ALWAYS AS IDENTITY PRIMARY KEY, tea text"
MAKE_TABLES = [
    text(f"CREATE SCHEMA {SCHEMA}"),
    *[text(f"CREATE TABLE {table} ({COLUMNS})") for table in TABLES],
]
TIMES = 20


async def fill(connection: AsyncConnection) -> None:
    """What a test does: a row in each of three tables."""
    for table in TABLES[:3]:
        await connection.execute(
            text(f"INSERT INTO {table} (tea) VALUES ('longjing')")
        )


async def roll_back(connection: AsyncConnection) -> None:
    """The end of a test that never committed."""
    await connection.rollback()


async def delete(connection: AsyncConnection) -> None:
    """Empty all tables, those without rows as well."""
    for table in TABLES:
        await connection.execute(text(f"DELETE FROM {table}"))
    await connection.commit()


async def truncate(connection: AsyncConnection) -> None:
    """Empty all tables in one statement."""
    await connection.execute(
        text(f"TRUNCATE {', '.join(TABLES)} RESTART IDENTITY CASCADE")
    )
    await connection.commit()


async def measure(
    connection: AsyncConnection,
    empty: Callable[[AsyncConnection], Awaitable[None]],
    times: int,
) -> float:
    """The median of the milliseconds that emptying takes after a test; the test not counted."""
    took = []
    for _ in range(times):
        await fill(connection)
        if empty is not roll_back:
            await connection.commit()
        start = time.perf_counter()
        await empty(connection)
        took.append(1000 * (time.perf_counter() - start))
    return statistics.median(took)


async def measure_database(times: int, options: str = "") -> float:
    """The median of the milliseconds to make a database, connect to it, and drop it."""
    admin = create_async_engine(URL, isolation_level="AUTOCOMMIT")
    took = []
    async with admin.connect() as connection:
        for _ in range(times):
            start = time.perf_counter()
            await connection.execute(
                text(f'CREATE DATABASE "{DATABASE}" {options}')
            )
            try:
                await run_in(DATABASE, text("SELECT 1"))
            finally:
                await connection.execute(text(f'DROP DATABASE "{DATABASE}"'))
            took.append(1000 * (time.perf_counter() - start))
    await admin.dispose()
    return statistics.median(took)


async def run_in(database: str, *statements: TextClause) -> None:
    """Connect to a database, run these, and leave it."""
    engine = create_async_engine(make_url(URL).set(database=database))
    async with engine.begin() as connection:
        for statement in statements:
            await connection.execute(statement)
    await engine.dispose()


async def measure_copies(times: int, server: int) -> dict[str, float]:
    """The same for copies of a database that has the tables, by name of the way to copy."""
    admin = create_async_engine(URL, isolation_level="AUTOCOMMIT")
    async with admin.connect() as connection:
        await connection.execute(text(f'CREATE DATABASE "{TEMPLATE}"'))
        try:
            await run_in(TEMPLATE, *MAKE_TABLES)
            took = {}
            for way in ("wal_log", "file_copy") if server >= 15 else ("",):
                copy = f'TEMPLATE "{TEMPLATE}"{way and f" STRATEGY {way}"}'
                took[f"template {way}".strip()] = await measure_database(
                    times, copy
                )
        finally:
            await connection.execute(text(f'DROP DATABASE "{TEMPLATE}"'))
    await admin.dispose()
    return took


def show(name: str, milliseconds: float) -> None:
    """Print a line."""
    print(f"{name:18} {milliseconds:8.1f}")


async def main(times: int = TIMES) -> None:
    """Measure each way, and print a line for it."""
    engine = create_async_engine(URL)
    async with engine.connect() as connection:
        for statement in MAKE_TABLES:
            await connection.execute(statement)
        await connection.commit()
        server = str(await connection.scalar(text("SHOW server_version")))
        fsync = await connection.scalar(text("SHOW fsync"))
        print(
            f"PostgreSQL {server}, fsync {fsync}, {len(TABLES)} tables; median of {times}, ms"
        )
        try:
            for empty in (roll_back, delete, truncate):
                show(empty.__name__, await measure(connection, empty, times))
        finally:
            await connection.rollback()
            await connection.execute(text(f"DROP SCHEMA {SCHEMA} CASCADE"))
            await connection.commit()
    await engine.dispose()
    show("new database", await measure_database(times))
    for name, took in (
        await measure_copies(times, int(server.split(".")[0]))
    ).items():
        show(name, took)


if __name__ == "__main__":
    asyncio.run(main())
