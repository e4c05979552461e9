"""`idle_in_transaction_session_timeout` ends a transaction left open.

`idle_in_transaction_session_timeout` 会强行断开迟迟不结束的事务。
"""

import asyncio
import os

from sqlalchemy import text
from sqlalchemy.exc import DBAPIError
from sqlalchemy.ext.asyncio import async_sessionmaker, create_async_engine

SETTINGS = {
    "application_name": "teahouse",
    "idle_in_transaction_session_timeout": "60s",
}
engine = create_async_engine(
    os.environ["DATABASE_URL"], connect_args={"server_settings": SETTINGS}
)
async_session = async_sessionmaker(engine)
IMPATIENCE = text("SET LOCAL idle_in_transaction_session_timeout = '200ms'")


async def slow_guest() -> None:
    ended = asyncio.Event()
    async with async_session() as session:
        pooled = await (await session.connection()).get_raw_connection()
        assert pooled.driver_connection
        pooled.driver_connection.add_termination_listener(lambda _: ended.set())
        await session.execute(IMPATIENCE)  # 60 s would take too long here
        await ended.wait()  # a slow call to some other service
        await session.execute(text("SELECT 'longjing'"))


async def main() -> None:
    try:
        await slow_guest()
    except DBAPIError as error:
        print(str(error).splitlines()[0])
        #> (sqlalchemy.dialects.postgresql.asyncpg.InterfaceError) connection is closed
    async with async_session() as session:
        limit = text("SHOW idle_in_transaction_session_timeout")
        print("next guest:", await session.scalar(limit))
        #> next guest: 1min
    await engine.dispose()


asyncio.run(main())
