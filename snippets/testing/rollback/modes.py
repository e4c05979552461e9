"""In the default mode a rollback of the endpoint ends the test's transaction.

默认模式下，接口一回滚，测试的外层事务也就结束了。
"""

import asyncio
import os
from secrets import token_hex
from typing import Literal

from sqlalchemy import text
from sqlalchemy.ext.asyncio import AsyncSession, create_async_engine

Mode = Literal["conditional_savepoint", "create_savepoint", "rollback_only"]

engine = create_async_engine(os.environ["DATABASE_URL"])
table = f"guide_orders_{token_hex(4)}"


async def endpoint(session: AsyncSession) -> None:
    await session.execute(text(f"INSERT INTO {table} VALUES ('longjing')"))
    await session.commit()
    await session.execute(text(f"INSERT INTO {table} VALUES ('oolong')"))
    await session.rollback()


async def main() -> None:
    async with engine.begin() as connection:
        await connection.execute(text(f"CREATE TABLE {table} (tea text)"))
    modes: list[Mode]
    modes = ["conditional_savepoint", "rollback_only", "create_savepoint"]
    for mode in modes:
        async with engine.connect() as connection:
            outer = await connection.begin()
            session = AsyncSession(connection, join_transaction_mode=mode)
            await endpoint(session)
            teas = await connection.scalars(text(f"SELECT tea FROM {table}"))
            print(f"{mode}: {teas.all()}, outer active: {outer.is_active}")
            #> conditional_savepoint: [], outer active: False
            #> rollback_only: [], outer active: False
            #> create_savepoint: ['longjing'], outer active: True
            await session.close()
    async with engine.begin() as connection:
        await connection.execute(text(f"DROP TABLE {table}"))
    await engine.dispose()


asyncio.run(main())
