"""A migration gives up after a moment, lets the queries pass, and tries again.

迁移等一会儿就放弃，让排队的查询先过，稍后再试。
"""

import asyncio
import os
from secrets import token_hex

from sqlalchemy import text
from sqlalchemy.exc import DBAPIError
from sqlalchemy.ext.asyncio import AsyncEngine, create_async_engine

ORDERS = f"guide_orders_{token_hex(4)}"
TABLE = text(f"CREATE TABLE {ORDERS} AS SELECT 'longjing' AS drink")
SELECT = text(f"SELECT drink FROM {ORDERS}")
NEW = text(f"SELECT drink, price FROM {ORDERS}")
LOCK_NOT_AVAILABLE = "55P03"
engine = create_async_engine(os.environ["DATABASE_URL"])
gave_up = asyncio.Event()


async def is_migrated(engine: AsyncEngine, statement: str) -> bool:
    try:
        async with engine.begin() as connection:
            await connection.execute(text("SET LOCAL lock_timeout = '500ms'"))
            await connection.execute(text(statement))
    except DBAPIError as error:
        if getattr(error.orig, "sqlstate", None) != LOCK_NOT_AVAILABLE:
            raise
        gave_up.set()
        return False
    return True


async def migrate(engine: AsyncEngine, statement: str) -> None:
    pause = 1.0
    while not await is_migrated(engine, statement):
        await asyncio.sleep(pause)  # the queries that queued run now
        pause += 1


async def main() -> None:
    async with engine.begin() as connection:
        await connection.execute(TABLE)
    async with engine.connect() as reader, asyncio.TaskGroup() as tasks:
        await reader.execute(SELECT)
        alter = f"ALTER TABLE {ORDERS} ADD COLUMN price int"
        tasks.create_task(migrate(engine, alter))
        await gave_up.wait()
        async with engine.connect() as guest:
            print("between two attempts:", await guest.scalar(SELECT))
            #> between two attempts: longjing
        await reader.rollback()
    async with engine.begin() as connection:
        print("migrated:", *(await connection.execute(NEW)).keys())
        #> migrated: drink price
        await connection.execute(text(f"DROP TABLE {ORDERS}"))
    await engine.dispose()


asyncio.run(main())
