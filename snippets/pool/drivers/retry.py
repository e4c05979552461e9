"""One question tells, for both drivers, whether to try again.

一个判断，两个驱动通用：这个错误值不值得重试。
"""

import asyncio
import os

from sqlalchemy import URL, make_url, text
from sqlalchemy.exc import OperationalError
from sqlalchemy.ext.asyncio import create_async_engine

DATABASE = make_url(os.environ["DATABASE_URL"])
SERIALIZATION, DEADLOCK, TOO_MANY, STARTING = "40001", "40P01", "53300", "57P03"
CUT_AT_LOGIN = "08003"
TRANSIENT = {SERIALIZATION, DEADLOCK, TOO_MANY, STARTING, CUT_AT_LOGIN}
RAISE = "DO $$ BEGIN RAISE SQLSTATE '40001'; END $$"
KILL = "SELECT pg_terminate_backend(pg_backend_pid())"


def is_transient(error: Exception) -> bool:
    """Whether a new session may succeed where this one failed."""
    sqlstate = getattr(getattr(error, "orig", error), "sqlstate", None)
    return (
        isinstance(error, OSError)  # Refused, no such host, TimeoutError.
        or getattr(error, "connection_invalidated", False)
        or sqlstate in TRANSIENT
        or (isinstance(error, OperationalError) and sqlstate is None)
    )


async def caught(url: URL, sql: str) -> Exception:
    engine = create_async_engine(url)
    try:
        async with engine.begin() as connection:
            await connection.execute(text(sql))
    except Exception as error:
        return error
    finally:
        await engine.dispose()
    raise AssertionError(sql)


async def main() -> None:
    nowhere = DATABASE.set(host="127.0.0.1", port=1)
    for name, url, sql in (
        ("refused", nowhere, "SELECT 1"),
        ("killed", DATABASE, KILL),
        ("conflict", DATABASE, RAISE),
        ("mistyped", DATABASE, "SELECT oolong"),
    ):
        for driver in ("asyncpg", "psycopg"):
            error = await caught(
                url.set(drivername=f"postgresql+{driver}"), sql
            )
            kind = type(error).__name__
            print(f"{name}: {driver} {kind}, retry {is_transient(error)}")
            #> refused: asyncpg ConnectionRefusedError, retry True
            #> refused: psycopg OperationalError, retry True
            #> killed: asyncpg DBAPIError, retry True
            #> killed: psycopg OperationalError, retry True
            #> conflict: asyncpg DBAPIError, retry True
            #> conflict: psycopg OperationalError, retry True
            #> mistyped: asyncpg ProgrammingError, retry False
            #> mistyped: psycopg ProgrammingError, retry False


asyncio.run(main())
