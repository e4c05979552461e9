"""What it costs to have empty tables again: a rollback, a truncate, a fresh database.

表重新变空要花多少时间：回滚、清表、建新库。
"""

import asyncio
import os
import statistics
import time
from collections.abc import Awaitable, Callable
from secrets import token_hex

from sqlalchemy import make_url, text
from sqlalchemy.ext.asyncio import AsyncConnection, create_async_engine

URL = os.environ.get("DATABASE_URL", "")
TOKEN = token_hex(4)
SCHEMA, DATABASE = f"guide_tests_{TOKEN}", f"guide_tests_{TOKEN}"
TABLES = [f"{SCHEMA}.orders_{number}" for number in range(20)]
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


async def measure_database(times: int) -> float:
    """The median of the milliseconds to make a database from the server's template, and drop it."""
    admin = create_async_engine(URL, isolation_level="AUTOCOMMIT")
    took = []
    async with admin.connect() as connection:
        for _ in range(times):
            start = time.perf_counter()
            await connection.execute(text(f'CREATE DATABASE "{DATABASE}"'))
            try:
                fresh = create_async_engine(
                    make_url(URL).set(database=DATABASE)
                )
                async with fresh.connect() as other:
                    await other.execute(text("SELECT 1"))
                await fresh.dispose()
            finally:
                await connection.execute(text(f'DROP DATABASE "{DATABASE}"'))
            took.append(1000 * (time.perf_counter() - start))
    await admin.dispose()
    return statistics.median(took)


async def main(times: int = TIMES) -> None:
    """Measure each way, and print a line for it."""
    engine = create_async_engine(URL)
    async with engine.connect() as connection:
        await connection.execute(text(f"CREATE SCHEMA {SCHEMA}"))
        for table in TABLES:
            columns = (
                "id int GENERATED ALWAYS AS IDENTITY PRIMARY KEY, tea text"
            )
            await connection.execute(text(f"CREATE TABLE {table} ({columns})"))
        await connection.commit()
        server = await connection.scalar(text("SHOW server_version"))
        fsync = await connection.scalar(text("SHOW fsync"))
        print(
            f"PostgreSQL {server}, fsync {fsync}, {len(TABLES)} tables; median of {times}, ms"
        )
        try:
            for empty in (roll_back, delete, truncate):
                print(
                    f"{empty.__name__:12} {await measure(connection, empty, times):8.1f}"
                )
        finally:
            await connection.rollback()
            await connection.execute(text(f"DROP SCHEMA {SCHEMA} CASCADE"))
            await connection.commit()
    print(f"{'new database':12} {await measure_database(times):8.1f}")
    await engine.dispose()


if __name__ == "__main__":
    asyncio.run(main())
