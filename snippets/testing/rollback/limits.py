"""Numbers stay used, now() stands still, and no deferred constraint is checked.

序列号不退回，now() 停住不动，延迟约束始终不检查。
"""

import asyncio
import os
from secrets import token_hex

from sqlalchemy import text
from sqlalchemy.exc import IntegrityError
from sqlalchemy.ext.asyncio import AsyncSession, create_async_engine

engine = create_async_engine(os.environ["DATABASE_URL"])
table = f"guide_orders_{token_hex(4)}"
ORDER = text(f"INSERT INTO {table} (cup) VALUES (:cup) RETURNING id")
COLUMNS = f"""
    id int GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
    cup int REFERENCES {table} DEFERRABLE INITIALLY DEFERRED
"""


async def test() -> str:
    async with engine.connect() as connection:
        outer = await connection.begin()
        async with AsyncSession(
            connection, join_transaction_mode="create_savepoint"
        ) as session:
            number = await session.scalar(ORDER, {"cup": None})
            before = await session.scalar(text("SELECT now()"))
            await session.execute(ORDER, {"cup": 100})
            await session.commit()
            moved = before != await session.scalar(text("SELECT now()"))
            try:
                await session.execute(text("SET CONSTRAINTS ALL IMMEDIATE"))
            except IntegrityError as error:
                said = str(error.orig).replace(table, "orders").split(") ")[-1]
        await outer.rollback()
        return f"order {number}, now() moved: {moved}, asked: {said}"


async def main() -> None:
    async with engine.begin() as connection:
        await connection.execute(text(f"CREATE TABLE {table} ({COLUMNS})"))
    for _ in range(2):
        print(await test())
        #> order 1, now() moved: False, asked: insert or update on table "orders" violates foreign key constraint "orders_cup_fkey"
        #> order 3, now() moved: False, asked: insert or update on table "orders" violates foreign key constraint "orders_cup_fkey"
    async with engine.begin() as connection:
        await connection.execute(text(f"DROP TABLE {table}"))
    await engine.dispose()


asyncio.run(main())
