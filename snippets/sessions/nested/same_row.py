"""The second session waits for a row that the first one holds: nobody gives in.

第二个会话等第一个会话锁住的行：一个请求就能把自己卡死，跟池多大无关。
"""

import asyncio
import os
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
POUR = text(f"UPDATE {ORDERS} SET cups = cups + 1 WHERE drink = 'oolong'")


async def pour_again(session: AsyncSession) -> str:
    await session.execute(text("SET LOCAL lock_timeout = '500ms'"))
    try:
        await session.execute(POUR)
        return "poured"
    except DBAPIError as error:
        return str(error).splitlines()[0].partition(") ")[2]


async def main() -> None:
    async with engine.begin() as connection:
        await connection.execute(
            text(f"CREATE TABLE {ORDERS} (drink text, cups int)")
        )
        await connection.execute(
            text(f"INSERT INTO {ORDERS} VALUES ('oolong', 1)")
        )

    async with async_session() as first:
        await first.execute(POUR)
        async with async_session() as second:
            print("second session:", await pour_again(second))
            #> second session: canceling statement due to lock timeout
        print("passed on     :", await pour_again(first))
        #> passed on     : poured

    async with engine.begin() as connection:
        await connection.execute(text(f"DROP TABLE {ORDERS}"))
    await engine.dispose()


asyncio.run(main())
