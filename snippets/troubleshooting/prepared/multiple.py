"""A prepared statement is one statement: send a script one by one.

预处理语句只能有一条 SQL：脚本拆开，一条一条执行。
"""

import asyncio
import os
from secrets import token_hex

from sqlalchemy import make_url, text
from sqlalchemy.exc import DBAPIError
from sqlalchemy.ext.asyncio import create_async_engine

URL = make_url(os.environ["DATABASE_URL"])
ORDERS = f"guide_orders_{token_hex(4)}"
CREATE = f"CREATE TEMPORARY TABLE {ORDERS} (drink text)"
INSERT = f"INSERT INTO {ORDERS} VALUES (:drink)"
OOLONG = {"drink": "oolong"}


async def two_in_one(driver: str, second: str, drinks: dict[str, str]) -> str:
    engine = create_async_engine(URL.set(drivername=f"postgresql+{driver}"))
    try:
        async with engine.connect() as connection:
            await connection.execute(text(f"{CREATE}; {second}"), drinks)
    except DBAPIError as error:
        return str(error.orig)
    finally:
        await engine.dispose()
    return "no error"


async def main() -> None:
    print("asyncpg:", await two_in_one("asyncpg", "SELECT 'oolong'", {}))
    #> asyncpg: cannot insert multiple commands into a prepared statement
    print("psycopg:", await two_in_one("psycopg", "SELECT 'oolong'", {}))
    #> psycopg: no error
    print("with :drink:", await two_in_one("psycopg", INSERT, OOLONG))
    #> with :drink: cannot insert multiple commands into a prepared statement
    engine = create_async_engine(URL)
    async with engine.connect() as connection:
        await connection.execute(text(CREATE))
        done = await connection.execute(text(INSERT), OOLONG)
        print("one by one:", done.rowcount, "row")
        #> one by one: 1 row
    await engine.dispose()


asyncio.run(main())
