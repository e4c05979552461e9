"""For tests: an outer transaction takes back what the code under test commits.

测试用：外层事务一回滚，被测代码提交过的也撤销。
"""

import asyncio
import os
from secrets import token_hex
from typing import Literal

from sqlalchemy import text
from sqlalchemy.ext.asyncio import AsyncSession, create_async_engine

ORDERS = f"guide_orders_{token_hex(4)}"
FIRST = text(f"INSERT INTO {ORDERS} VALUES ('longjing')")
SECOND = text(f"INSERT INTO {ORDERS} VALUES ('oolong')")
DRINKS = text(f"SELECT drink FROM {ORDERS}")
Mode = Literal["conditional_savepoint", "create_savepoint"]
engine = create_async_engine(os.environ["DATABASE_URL"])


async def code_under_test(session: AsyncSession) -> str:
    await session.execute(FIRST)
    await session.commit()
    await session.execute(SECOND)
    await session.rollback()
    return f"sees {[*await session.scalars(DRINKS)]}"


async def a_test(mode: Mode) -> str:
    async with engine.connect() as connection:
        outer = await connection.begin()
        async with AsyncSession(
            connection, join_transaction_mode=mode
        ) as session:
            seen = await code_under_test(session)
        if outer.is_active:
            await outer.rollback()
    async with engine.connect() as connection:
        left = [*await connection.scalars(DRINKS)]
    return f"{seen}, leaves {left}"


async def main() -> None:
    async with engine.begin() as connection:
        await connection.execute(text(f"CREATE TABLE {ORDERS} (drink text)"))
    print("the default:", await a_test("conditional_savepoint"))
    #> the default: sees [], leaves []
    print("create_savepoint:", await a_test("create_savepoint"))
    #> create_savepoint: sees ['longjing'], leaves []
    async with engine.begin() as connection:
        await connection.execute(text(f"DROP TABLE {ORDERS}"))
    await engine.dispose()


asyncio.run(main())
