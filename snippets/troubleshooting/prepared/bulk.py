"""Rows beside the statement may be many; a COPY before any SQL is not undone.

数据放在语句旁边，多少行都行；COPY 之前没有执行过 SQL，回滚就撤销不了它。
"""

import asyncio
import os
from secrets import token_hex

from sqlalchemy import Column, MetaData, Table, Text, insert, text
from sqlalchemy.exc import InterfaceError
from sqlalchemy.ext.asyncio import create_async_engine

engine = create_async_engine(os.environ["DATABASE_URL"])
ORDERS = f"guide_orders_{token_hex(4)}"
orders = Table(
    ORDERS, MetaData(), Column("drink", Text), prefixes=["TEMPORARY"]
)
COUNT = text(f"SELECT count(*) FROM {ORDERS}")
ROWS = [{"drink": "longjing"}] * 40_000
RECORDS = [("oolong",)] * 40_000


async def left_by_a_copy(sql_before: bool) -> int:
    async with engine.connect() as connection:
        if sql_before:
            await connection.execute(text("SELECT 1"))
        raw = await connection.get_raw_connection()
        assert raw.driver_connection
        await raw.driver_connection.copy_records_to_table(
            ORDERS, records=RECORDS, columns=["drink"]
        )
        await connection.rollback()
        return int(await connection.scalar(COUNT) or 0)


async def main() -> None:
    async with engine.begin() as connection:
        await connection.run_sync(orders.create)
    try:
        async with engine.begin() as connection:
            await connection.execute(insert(orders).values(ROWS))
    except InterfaceError as error:
        print("insert().values(rows):", error.orig)
        #> insert().values(rows): the number of query arguments cannot exceed 32767
    async with engine.connect() as connection:
        await connection.execute(insert(orders), ROWS)
        print("execute(insert(), rows):", await connection.scalar(COUNT))
        #> execute(insert(), rows): 40000
    print("COPY after SQL, rolled back:", await left_by_a_copy(True))
    #> COPY after SQL, rolled back: 0
    print("COPY first, rolled back:", await left_by_a_copy(False))
    #> COPY first, rolled back: 40000
    await engine.dispose()


asyncio.run(main())
