"""create_all() is synchronous code: run_sync() gives it a connection.

create_all() 是同步代码：用 run_sync() 给它一个连接。
"""

import asyncio
import os
from secrets import token_hex
from typing import Any

from sqlalchemy import Column, MetaData, String, Table, func, select
from sqlalchemy.ext.asyncio import create_async_engine

engine = create_async_engine(os.environ["DATABASE_URL"])
metadata = MetaData()
orders = Table(
    f"guide_orders_{token_hex(4)}",
    metadata,
    Column("drink", String),
    prefixes=["TEMPORARY"],
)


async def main() -> None:
    not_for_sync_code: Any = engine
    try:
        metadata.create_all(not_for_sync_code)
    except AttributeError as error:
        print(error)
        #> 'AsyncEngine' object has no attribute '_run_ddl_visitor'

    async with engine.begin() as connection:
        await connection.run_sync(metadata.create_all)
        query = select(func.count()).select_from(orders)
        print("orders:", await connection.scalar(query))
        #> orders: 0
    await engine.dispose()


asyncio.run(main())
