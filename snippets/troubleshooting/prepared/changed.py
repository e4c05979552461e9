"""A migration under a prepared statement: one error, then the caches are new.

预处理语句还在用，表结构变了：报一次错，之后缓存重建。
"""

import asyncio
import os
from secrets import token_hex

from sqlalchemy import make_url, text
from sqlalchemy.exc import DBAPIError
from sqlalchemy.ext.asyncio import AsyncEngine, create_async_engine

URL = make_url(os.environ["DATABASE_URL"])
ORDERS = f"guide_orders_{token_hex(4)}"
CREATE = f"CREATE TABLE {ORDERS} AS SELECT 'oolong' AS drink"
ADD = f"ALTER TABLE {ORDERS} ADD COLUMN price int"
SELECT = text(f"SELECT * FROM {ORDERS}")


async def migrate(statement: str) -> None:
    engine = create_async_engine(URL)
    async with engine.begin() as connection:
        await connection.execute(text(statement))
    await engine.dispose()


async def columns(engine: AsyncEngine) -> str:
    try:
        async with engine.begin() as connection:
            return " ".join((await connection.execute(SELECT)).keys())
    except DBAPIError as error:
        return str(error.orig)


async def orders(driver: str) -> tuple[str, str]:
    engine = create_async_engine(URL.set(drivername=f"postgresql+{driver}"))
    await migrate(CREATE)
    for _ in range(6):  # psycopg prepares what it has seen five times
        await columns(engine)
    await migrate(ADD)
    seen = await columns(engine), await columns(engine)
    await migrate(f"DROP TABLE {ORDERS}")
    await engine.dispose()
    return seen


async def main() -> None:
    error, again = await orders("asyncpg")
    print("asyncpg:", error.split(" (")[0])
    #> asyncpg: cached statement plan is invalid due to a database schema or configuration change
    print("again:", again)
    #> again: drink price
    error, again = await orders("psycopg")
    print("psycopg:", error, "| again:", again)
    #> psycopg: cached plan must not change result type | again: drink price


asyncio.run(main())
