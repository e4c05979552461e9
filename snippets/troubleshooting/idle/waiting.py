"""A transaction left open while its task waits makes other queries wait too.

任务等着、事务不结束，别的查询也只好跟着等。
"""

import asyncio
import os
from secrets import token_hex

from sqlalchemy import text
from sqlalchemy.ext.asyncio import create_async_engine
from sqlalchemy.pool import NullPool

NAME = {"server_settings": {"application_name": "teahouse"}}
SEEN = text("""
    SELECT state, wait_event_type, query FROM pg_stat_activity
    WHERE datname = current_database() AND application_name = 'teahouse'
    ORDER BY backend_start""")
ORDERS = f"guide_orders_{token_hex(4)}"
TABLE = text(f"CREATE TABLE {ORDERS} AS SELECT 1 AS id, 'longjing' AS drink")
CHANGE = text(f"UPDATE {ORDERS} SET drink = 'oolong' WHERE id = 1")
engine = create_async_engine(os.environ["DATABASE_URL"], connect_args=NAME)
watcher = create_async_engine(engine.url, poolclass=NullPool)
changed, paid = asyncio.Event(), asyncio.Event()


async def first() -> None:
    async with engine.begin() as connection:
        await connection.execute(CHANGE)
        changed.set()
        await paid.wait()  # a slow call to some other service


async def second() -> None:
    await changed.wait()
    async with engine.begin() as connection:
        await connection.execute(CHANGE)


async def watch() -> None:
    blocked = False
    while not blocked:
        async with watcher.connect() as connection:
            rows = (await connection.execute(SEEN)).all()
        blocked = rows[-1].wait_event_type == "Lock"
    for row in rows:
        print(" | ".join(row).replace(ORDERS, "orders"))
        #> idle in transaction | Client | UPDATE orders SET drink = 'oolong' WHERE id = 1
        #> active | Lock | UPDATE orders SET drink = 'oolong' WHERE id = 1
    paid.set()


async def main() -> None:
    async with engine.begin() as connection:
        await connection.execute(TABLE)
    await asyncio.gather(first(), second(), watch())
    async with engine.begin() as connection:
        await connection.execute(text(f"DROP TABLE {ORDERS}"))
    await engine.dispose()


asyncio.run(main())
