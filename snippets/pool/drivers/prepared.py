"""asyncpg prepares a statement at once, psycopg at its sixth execution.

asyncpg 第一次就预处理语句，psycopg 到第六次才预处理。
"""

import asyncio
import os

from sqlalchemy import make_url, text
from sqlalchemy.ext.asyncio import create_async_engine

URL = make_url(os.environ["DATABASE_URL"])
ORDER = text("SELECT 'oolong' AS drink")
PREPARED = text("""SELECT count(*) FROM pg_prepared_statements
    WHERE statement LIKE '%AS drink'""")


async def main() -> None:
    for driver in ("asyncpg", "psycopg"):
        engine = create_async_engine(URL.set(drivername=f"postgresql+{driver}"))
        prepared = []
        async with engine.connect() as connection:
            for _ in range(8):
                await connection.execute(ORDER)
                prepared.append(await connection.scalar(PREPARED))
        print(f"{driver}: {prepared}")
        #> asyncpg: [1, 1, 1, 1, 1, 1, 1, 1]
        #> psycopg: [0, 0, 0, 0, 0, 1, 1, 1]
        await engine.dispose()


asyncio.run(main())
