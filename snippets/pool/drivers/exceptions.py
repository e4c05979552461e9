"""The same mistakes on both drivers, and the exceptions they end in.

同样的错误，两个驱动各抛什么异常。
"""

import asyncio
import os
from secrets import token_hex

from sqlalchemy import make_url, text
from sqlalchemy.exc import DBAPIError
from sqlalchemy.ext.asyncio import AsyncEngine, create_async_engine

URL = make_url(os.environ["DATABASE_URL"])
ORDERS = f"guide_orders_{token_hex(4)}"
MISTAKES = {
    "duplicate key": f"INSERT INTO {ORDERS} VALUES (1), (1)",
    "no such table": f"SELECT * FROM no_{ORDERS}",
    "division by zero": "SELECT 1 / 0",
    "text too long": f"INSERT INTO {ORDERS} (drink) VALUES ('longjing')",
    "statement_timeout": "SET LOCAL statement_timeout = 1; SELECT pg_sleep(9)",
    "read-only": f"SET TRANSACTION READ ONLY; DELETE FROM {ORDERS}",
    "killed": "SELECT pg_terminate_backend(pg_backend_pid())",
}


async def make(engine: AsyncEngine, mistake: str) -> str:
    try:
        async with engine.begin() as connection:
            for statement in mistake.split(";"):
                await connection.execute(text(statement))
    except DBAPIError as error:
        sqlstate = getattr(error.orig, "sqlstate", None)
        return f"{type(error).__name__} {sqlstate}"
    return "no error"


async def main() -> None:
    asyncpg, psycopg = (
        create_async_engine(URL.set(drivername=f"postgresql+{driver}"))
        for driver in ("asyncpg", "psycopg")
    )
    async with asyncpg.begin() as connection:
        await connection.execute(
            text(f"CREATE TABLE {ORDERS} (id int UNIQUE, drink varchar(6))")
        )
    for name, mistake in MISTAKES.items():
        one, other = await make(asyncpg, mistake), await make(psycopg, mistake)
        print(f"{name:18} {one:22} {other}")
        #> duplicate key      IntegrityError 23505   IntegrityError 23505
        #> no such table      ProgrammingError 42P01 ProgrammingError 42P01
        #> division by zero   DBAPIError 22012       DataError 22012
        #> text too long      DBAPIError 22001       DataError 22001
        #> statement_timeout  DBAPIError 57014       OperationalError 57014
        #> read-only          DBAPIError 25006       InternalError 25006
        #> killed             DBAPIError 08003       OperationalError 57P01
    async with asyncpg.begin() as connection:
        await connection.execute(text(f"DROP TABLE {ORDERS}"))
    await asyncpg.dispose()
    await psycopg.dispose()


asyncio.run(main())
