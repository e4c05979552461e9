"""An attempt may still commit: SELECT misses it, INSERT with a key waits.

第一次可能还在提交：SELECT 看不到它，带唯一键的 INSERT 会等它结束。
"""

import asyncio
import os
from secrets import token_hex

from sqlalchemy import text
from sqlalchemy.ext.asyncio import create_async_engine

engine = create_async_engine(os.environ["DATABASE_URL"])
ORDERS = f"guide_orders_{token_hex(4)}"
INSERT = f"INSERT INTO {ORDERS} VALUES (7) ON CONFLICT DO NOTHING"
PID = text("SELECT pg_backend_pid()")
BLOCKED = text("SELECT cardinality(pg_blocking_pids(:pid))")
COUNT = text(f"SELECT count(*) FROM {ORDERS}")


async def main() -> None:
    async with engine.begin() as connection:
        create = f"CREATE TABLE {ORDERS} (id int PRIMARY KEY)"
        await connection.execute(text(create))
    async with (
        engine.connect() as first,
        engine.connect() as second,
        engine.connect() as watcher,
    ):
        await first.execute(text(INSERT))  # its COMMIT is on the way
        print("rows that SELECT sees:", await second.scalar(COUNT))
        #> rows that SELECT sees: 0
        pid = await second.scalar(PID)
        again = asyncio.create_task(second.execute(text(INSERT)))
        while not await watcher.scalar(BLOCKED, {"pid": pid}):
            await asyncio.sleep(0.01)
        print("second attempt waits:", not again.done())
        #> second attempt waits: True
        await first.commit()  # and arrives
        print("rows it inserts then:", (await again).rowcount)
        #> rows it inserts then: 0
        print("orders:", await second.scalar(COUNT))
        #> orders: 1
    async with engine.begin() as connection:
        await connection.execute(text(f"DROP TABLE {ORDERS}"))
    await engine.dispose()


asyncio.run(main())
