"""A connection lost in the middle: the whole unit of work runs again.

连接断在中途：整个工作单元在新会话里从头重做一遍。
"""

import asyncio
import os
from collections.abc import Awaitable, Callable
from secrets import token_hex

from sqlalchemy import text
from sqlalchemy.exc import DBAPIError
from sqlalchemy.ext.asyncio import (
    AsyncSession,
    async_sessionmaker,
    create_async_engine,
)

engine = create_async_engine(os.environ["DATABASE_URL"])
async_session = async_sessionmaker(engine)
ORDERS = f"guide_orders_{token_hex(4)}"
END = text("SELECT pg_terminate_backend(pg_backend_pid())")
calls = 0


async def order(session: AsyncSession) -> None:
    global calls
    calls += 1
    insert = f"INSERT INTO {ORDERS} VALUES (7) ON CONFLICT DO NOTHING"
    await session.execute(text(insert))
    if calls == 1:  # the server ends this connection
        await session.execute(END)


async def run(work: Callable[[AsyncSession], Awaitable[None]]) -> None:
    for last in (False, False, True):
        try:
            async with async_session.begin() as session:
                await work(session)
            return
        except DBAPIError as error:
            print(error.orig)
            #> connection was closed in the middle of operation: terminating connection due to administrator command
            if last or not error.connection_invalidated:
                raise


async def main() -> None:
    async with engine.begin() as connection:
        await connection.execute(text(f"CREATE TABLE {ORDERS} (id int UNIQUE)"))
    await run(order)
    async with engine.begin() as connection:
        orders = await connection.execute(text(f"TABLE {ORDERS}"))
        print(f"calls: {calls}, orders: {orders.all()}")
        #> calls: 2, orders: [(7,)]
        await connection.execute(text(f"DROP TABLE {ORDERS}"))
    await engine.dispose()


asyncio.run(main())
