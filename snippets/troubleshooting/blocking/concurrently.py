"""CREATE INDEX CONCURRENTLY waits for snapshots, whatever table they read.

CREATE INDEX CONCURRENTLY 要等别人的快照，不管那个事务读的是哪张表。
"""

import asyncio
import os
from secrets import token_hex

from sqlalchemy import make_url, text
from sqlalchemy.ext.asyncio import create_async_engine
from sqlalchemy.pool import NullPool

URL = make_url(os.environ["DATABASE_URL"])
ORDERS = f"guide_orders_{token_hex(4)}"
INDEX = f"CREATE INDEX CONCURRENTLY ON {ORDERS} (drink)"
PLAIN, WITH_PARAMETER = "SELECT 'oolong'", "SELECT CAST(:drink AS text)"
PHASE = text("""
    SELECT phase FROM pg_stat_progress_create_index
    WHERE phase LIKE 'waiting%' AND :pid = ANY (pg_blocking_pids(pid))""")
migrating = create_async_engine(
    URL, poolclass=NullPool, isolation_level="AUTOCOMMIT"
)


async def run(statement: str) -> None:
    async with migrating.connect() as connection:
        await connection.execute(text(statement))


async def indexed(driver: str, query: str) -> str:
    """Create an index beside an open transaction: what it waits for."""
    engine = create_async_engine(URL.set(drivername=f"postgresql+{driver}"))
    async with engine.connect() as reader, migrating.connect() as watcher:
        pid = await reader.scalar(text("SELECT pg_backend_pid()"))
        await reader.execute(
            text(query), {"drink": "oolong"} if ":" in query else {}
        )
        index = asyncio.create_task(run(INDEX))
        phase = None
        while not phase and not index.done():
            phase = await watcher.scalar(PHASE, {"pid": pid})
    await index  # it goes on as soon as that transaction has ended
    await engine.dispose()
    return f"{driver}, {query} | {phase or 'does not wait'}"


async def main() -> None:
    await run(f"CREATE TABLE {ORDERS} AS SELECT 'longjing' AS drink")
    print(await indexed("asyncpg", PLAIN))
    #> asyncpg, SELECT 'oolong' | waiting for old snapshots
    print(await indexed("psycopg", PLAIN))
    #> psycopg, SELECT 'oolong' | does not wait
    print(await indexed("psycopg", WITH_PARAMETER))
    #> psycopg, SELECT CAST(:drink AS text) | waiting for old snapshots
    await run(f"DROP TABLE {ORDERS}")


asyncio.run(main())
