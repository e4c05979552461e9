"""PostgreSQL ends a connection and says which limit ran out.

PostgreSQL 断开连接，并说明是哪个时限到了。
"""

import asyncio
import os

from sqlalchemy import create_engine, make_url, text
from sqlalchemy.exc import DBAPIError
from sqlalchemy.ext.asyncio import create_async_engine

URL = make_url(os.environ["DATABASE_URL"])
watcher = create_engine(URL.set(drivername="postgresql+psycopg"))
LIMITS = text(
    """SELECT name FROM pg_settings WHERE name IN ('idle_session_timeout',
    'idle_in_transaction_session_timeout', 'transaction_timeout')
    ORDER BY name DESC"""
)
PID = text("SELECT pg_backend_pid()")
ALIVE = text("SELECT count(*) FROM pg_stat_activity WHERE pid = :pid")


async def run_out_of(limit: str, driver: str) -> str:
    engine = create_async_engine(URL.set(drivername=f"postgresql+{driver}"))
    try:
        async with engine.connect() as connection:
            pid = await connection.scalar(PID)
            await connection.execute(text(f"SET {limit} = '100ms'"))
            if limit == "idle_session_timeout":
                await connection.commit()  # idle, and in no transaction
            with watcher.connect() as looking:  # the loop stands still
                while looking.scalar(ALIVE, {"pid": pid}):
                    looking.rollback()
            await connection.execute(text("SELECT 'oolong'"))
    except DBAPIError as error:
        return f"{type(error).__name__}: {error.orig}"
    finally:
        await engine.dispose()
    return "no error"


async def main() -> None:
    with watcher.connect() as connection:
        limits = connection.scalars(LIMITS).all()
    for limit in limits:  # PostgreSQL 17 has all three
        for driver in ("asyncpg", "psycopg"):
            print(driver, await run_out_of(limit, driver))
            #> asyncpg DBAPIError: connection was closed in the middle of operation: terminating connection due to transaction timeout
            #> psycopg InternalError: terminating connection due to transaction timeout
            #> asyncpg DBAPIError: connection was closed in the middle of operation: terminating connection due to idle-session timeout
            #> psycopg OperationalError: terminating connection due to idle-session timeout
            #> asyncpg DBAPIError: connection was closed in the middle of operation: terminating connection due to idle-in-transaction timeout
            #> psycopg InternalError: terminating connection due to idle-in-transaction timeout
    watcher.dispose()


asyncio.run(main())
