"""Two limits cancel a statement, another ends the connection.

两个时限只取消一条 SQL，另一个断开空闲事务的连接。
"""

import asyncio
import os
from secrets import randbits

from sqlalchemy import make_url, text
from sqlalchemy.exc import DBAPIError
from sqlalchemy.ext.asyncio import AsyncConnection, create_async_engine
from sqlalchemy.pool import NullPool

URL = make_url(os.environ["DATABASE_URL"])
IDLE = "idle_in_transaction_session_timeout"
LOCK = f"SELECT pg_advisory_xact_lock({randbits(62)})"
LIMITS = {
    "statement_timeout": "SELECT pg_sleep(60)",
    "lock_timeout": LOCK,
    IDLE: "SELECT 'longjing'",
}
THERE = text("SELECT count(*) FROM pg_stat_activity WHERE pid = :pid")
watching = create_async_engine(URL, isolation_level="AUTOCOMMIT")


async def until_ended(connection: AsyncConnection, pid: int) -> None:
    raw = await connection.get_raw_connection()
    is_closed = getattr(raw.driver_connection, "is_closed", lambda: True)
    async with watching.connect() as watcher, asyncio.timeout(30):
        while await watcher.scalar(THERE, {"pid": pid}) or not is_closed():
            pass  # asyncpg notices by itself, psycopg when it is used


async def ends(driver: str, limit: str, statement: str) -> str:
    url = URL.set(drivername=f"postgresql+{driver}")
    engine = create_async_engine(url, poolclass=NullPool)
    try:
        async with engine.connect() as connection:
            pid = await connection.scalar(text("SELECT pg_backend_pid()"))
            await connection.execute(text(f"SET LOCAL {limit} = '200ms'"))
            if limit == IDLE:
                await until_ended(connection, pid)
            await connection.execute(text(statement))
    except DBAPIError as error:
        lost = "lost" if error.connection_invalidated else "kept"
        return f"{lost} | {type(error).__name__}: {error.orig}"
    return "no error"


async def main() -> None:
    async with create_async_engine(URL, poolclass=NullPool).connect() as holder:
        await holder.execute(text(LOCK))
        for driver in "asyncpg", "psycopg":
            for limit, sql in LIMITS.items():
                print(driver, limit, await ends(driver, limit, sql), sep=" | ")
                #> asyncpg | statement_timeout | kept | DBAPIError: canceling statement due to statement timeout
                #> asyncpg | lock_timeout | kept | DBAPIError: canceling statement due to lock timeout
                #> asyncpg | idle_in_transaction_session_timeout | lost | InterfaceError: connection is closed
                #> psycopg | statement_timeout | kept | OperationalError: canceling statement due to statement timeout
                #> psycopg | lock_timeout | kept | OperationalError: canceling statement due to lock timeout
                #> psycopg | idle_in_transaction_session_timeout | lost | InternalError: terminating connection due to idle-in-transaction timeout
    await watching.dispose()


asyncio.run(main())
