"""Committed before the wait, it is undone by a statement, not by a rollback.

等之前已经提交的数据，`rollback()` 撤不掉，要再写一条语句改回来。
"""

import asyncio
import os
from secrets import token_hex

from sqlalchemy import text
from sqlalchemy.ext.asyncio import AsyncSession, create_async_engine

engine = create_async_engine(os.environ["DATABASE_URL"])
ORDERS = f"guide_orders_{token_hex(4)}"
STATE = text(f"SELECT state FROM {ORDERS} WHERE drink = 'oolong'")
REFUSE = text(f"UPDATE {ORDERS} SET state = 'refused' WHERE state = 'paying'")


async def run(statement: str) -> None:
    async with engine.begin() as connection:
        await connection.execute(text(statement))


async def bank() -> None:
    raise ConnectionError("card refused")


async def order() -> None:
    async with AsyncSession(engine) as session:
        insert = f"INSERT INTO {ORDERS} VALUES ('oolong', 'paying')"
        await session.execute(text(insert))
        await session.commit()  # the connection is back
        try:
            await bank()
        except ConnectionError:
            await session.rollback()
            print("after rollback():", await session.scalar(STATE))
            #> after rollback(): paying
            await session.execute(REFUSE)
            await session.commit()
            print("after UPDATE    :", await session.scalar(STATE))
            #> after UPDATE    : refused


async def main() -> None:
    await run(f"CREATE TABLE {ORDERS} (drink text, state text)")
    await order()
    await run(f"DROP TABLE {ORDERS}")
    await engine.dispose()


asyncio.run(main())
