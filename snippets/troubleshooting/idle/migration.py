"""A transaction left open after one SELECT makes migrations wait for it.

只查过一次却没结束的事务，迁移也得等它。
"""

import asyncio
import os
from secrets import token_hex

from sqlalchemy import text
from sqlalchemy.ext.asyncio import AsyncConnection, create_async_engine
from sqlalchemy.pool import NullPool

ORDERS = f"guide_orders_{token_hex(4)}"
MIGRATIONS = (
    f"CREATE INDEX CONCURRENTLY ON {ORDERS} (drink)",
    f"ALTER TABLE {ORDERS} ADD COLUMN price int",
)
WAITS = text("""
    SELECT wait_event_type || ' ' || wait_event FROM pg_stat_activity
    WHERE :pid = ANY (pg_blocking_pids(pid))""")
engine = create_async_engine(os.environ["DATABASE_URL"])
migrating = create_async_engine(
    engine.url, poolclass=NullPool, isolation_level="AUTOCOMMIT"
)


async def run(statement: str) -> None:
    async with migrating.connect() as connection:
        await connection.execute(text(statement))


async def who_waits_for(pid: int, watcher: AsyncConnection) -> str:
    async with asyncio.timeout(30):
        while not (waits := await watcher.scalar(WAITS, {"pid": pid})):
            pass
    return str(waits)


async def blocked(migration: str, watcher: AsyncConnection) -> str:
    """Start it while a reader's transaction is open: what it waits for."""
    async with engine.connect() as reader:
        pid = await reader.scalar(text("SELECT pg_backend_pid()"))
        await reader.execute(text(f"SELECT drink FROM {ORDERS}"))
        migrated = asyncio.create_task(run(migration))
        waits = await who_waits_for(pid, watcher)
    await migrated  # it goes on as soon as that transaction has ended
    return f"{migration.replace(ORDERS, 'orders')} | {waits}"


async def main() -> None:
    await run(f"CREATE TABLE {ORDERS} AS SELECT 'longjing' AS drink")
    async with migrating.connect() as watcher:
        for migration in MIGRATIONS:
            print(await blocked(migration, watcher))
            #> CREATE INDEX CONCURRENTLY ON orders (drink) | Lock virtualxid
            #> ALTER TABLE orders ADD COLUMN price int | Lock relation
    await run(f"DROP TABLE {ORDERS}")
    await engine.dispose()


asyncio.run(main())
