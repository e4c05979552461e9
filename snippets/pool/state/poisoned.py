"""A BEGIN that SQLAlchemy does not know of spoils its connection.

绕过 SQLAlchemy 的 BEGIN，会弄坏这个连接。
"""

import asyncio
import os

from asyncpg import PostgresError  # type: ignore[import-untyped]
from sqlalchemy import text
from sqlalchemy.exc import DBAPIError
from sqlalchemy.ext.asyncio import async_sessionmaker, create_async_engine

engine = create_async_engine(os.environ["DATABASE_URL"], pool_size=1)
async_session = async_sessionmaker(engine)
SCRIPT = "BEGIN; SELECT 'longjing'; SELECT 1 / 0; COMMIT;"


async def run_script(invalidate: bool) -> str:
    async with engine.connect() as connection:
        raw = await connection.get_raw_connection()
        assert raw.driver_connection
        try:
            return str(await raw.driver_connection.execute(SCRIPT))
        except PostgresError as error:
            if invalidate:
                await connection.invalidate()
            return str(error)


async def guest() -> str:
    try:
        async with async_session() as session:
            return str(await session.scalar(text("SELECT 'oolong'")))
    except DBAPIError as error:
        return str(error.orig).split(": ")[-1]


async def main() -> None:
    print("script:", await run_script(invalidate=False))
    #> script: division by zero
    for _ in range(3):
        print("guest:", await guest())
        #> guest: cannot use Connection.transaction() in a manually started transaction
        #> guest: cannot use Connection.transaction() in a manually started transaction
        #> guest: cannot use Connection.transaction() in a manually started transaction
    await engine.dispose()

    print("script, invalidated:", await run_script(invalidate=True))
    #> script, invalidated: division by zero
    print("guest:", await guest())
    #> guest: oolong
    await engine.dispose()


asyncio.run(main())
