"""`idle_in_transaction_session_timeout` ends a transaction left open.

`idle_in_transaction_session_timeout` 会掐断迟迟不结束的事务。
"""

import asyncio
import os

from sqlalchemy import text
from sqlalchemy.exc import DBAPIError
from sqlalchemy.ext.asyncio import async_sessionmaker, create_async_engine

SETTINGS = {
    "application_name": "teahouse",
    "idle_in_transaction_session_timeout": "200ms",
}
engine = create_async_engine(
    os.environ["DATABASE_URL"], connect_args={"server_settings": SETTINGS}
)
async_session = async_sessionmaker(engine)


async def slow_guest() -> None:
    async with async_session() as session:
        await session.execute(text("SELECT 'longjing'"))

        # A slow call to some other service, until the server loses patience.
        ended = asyncio.Event()
        pooled = await (await session.connection()).get_raw_connection()
        asyncpg_connection = pooled.driver_connection
        assert asyncpg_connection
        asyncpg_connection.add_termination_listener(lambda _: ended.set())
        await ended.wait()

        await session.execute(text("SELECT 'oolong'"))


async def main() -> None:
    try:
        await slow_guest()
    except DBAPIError as error:
        print(str(error).splitlines()[0])
        #> (sqlalchemy.dialects.postgresql.asyncpg.InterfaceError) connection is closed
    print(engine.pool.status())
    #> Pool size: 5  Connections in pool: 1 Current Overflow: -4 Current Checked out connections: 0
    async with async_session() as session:
        print("next guest:", await session.scalar(text("SELECT 'pu-erh'")))
        #> next guest: pu-erh
    await engine.dispose()


asyncio.run(main())
