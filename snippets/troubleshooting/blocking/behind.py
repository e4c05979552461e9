"""ALTER TABLE waits for one reader, and later readers wait for ALTER TABLE.

ALTER TABLE 在等一个读者，后来的 SELECT 就都在等 ALTER TABLE。
"""

import asyncio
import os
from secrets import token_hex

from sqlalchemy import text
from sqlalchemy.ext.asyncio import create_async_engine
from sqlalchemy.pool import NullPool

ORDERS = f"guide_orders_{token_hex(4)}"
SELECT = f"SELECT drink FROM {ORDERS}"
ALTER = f"ALTER TABLE {ORDERS} ADD COLUMN price int"
WHO_WAITS = text("""
    SELECT pid, query FROM pg_stat_activity
    WHERE :pid = ANY (pg_blocking_pids(pid))""")
engine = create_async_engine(os.environ["DATABASE_URL"])
watching = create_async_engine(
    engine.url, poolclass=NullPool, isolation_level="AUTOCOMMIT"
)


async def run(statement: str) -> None:
    async with engine.begin() as connection:
        await connection.execute(text(statement))


async def who_waits_for(pid: int) -> tuple[int, str]:
    async with watching.connect() as watcher, asyncio.timeout(30):
        while not (
            row := (await watcher.execute(WHO_WAITS, {"pid": pid})).first()
        ):
            pass
    return row.pid, row.query.replace(ORDERS, "orders")


async def main() -> None:
    await run(f"CREATE TABLE {ORDERS} AS SELECT 'longjing' AS drink")
    async with engine.connect() as reader, asyncio.TaskGroup() as tasks:
        pid = await reader.scalar(text("SELECT pg_backend_pid()"))
        await reader.execute(text(SELECT))
        tasks.create_task(run(ALTER))
        alter, query = await who_waits_for(pid)
        print("waits for the reader:", query)
        #> waits for the reader: ALTER TABLE orders ADD COLUMN price int
        tasks.create_task(run(SELECT))
        print("waits for ALTER TABLE:", (await who_waits_for(alter))[1])
        #> waits for ALTER TABLE: SELECT drink FROM orders
        again = await reader.execute(text(SELECT))
        print("the reader itself:", again.scalar())
        #> the reader itself: longjing
        await reader.rollback()
    await run(f"DROP TABLE {ORDERS}")
    await engine.dispose()


asyncio.run(main())
