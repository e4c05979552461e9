"""No rows to read, or a result that is used up.

没有行可读，或者结果已经用完。
"""

import asyncio
import os
from secrets import token_hex

from sqlalchemy import text
from sqlalchemy.exc import ResourceClosedError
from sqlalchemy.ext.asyncio import async_sessionmaker, create_async_engine

engine = create_async_engine(os.environ["DATABASE_URL"])
async_session = async_sessionmaker(engine)
ORDERS = f"guide_orders_{token_hex(4)}"
INSERT = f"INSERT INTO {ORDERS} (tea) VALUES ('oolong')"


async def main() -> None:
    async with engine.begin() as connection:
        table = f"CREATE TABLE {ORDERS} (id serial, tea text)"
        await connection.execute(text(table))
    async with async_session() as session:
        result = await session.execute(text(INSERT))
        try:
            result.scalar_one()
        except ResourceClosedError as error:
            print(error)
            #> This result object does not return rows. It has been closed automatically.
        result = await session.execute(text(f"{INSERT} RETURNING id"))
        print("with RETURNING:", result.scalar_one())
        #> with RETURNING: 2
        try:
            result.all()
        except ResourceClosedError as error:
            print(error)
            #> This result object is closed.
        ids = (await session.scalars(text(f"SELECT id FROM {ORDERS}"))).all()
        print("read once, kept as a list:", ids, len(ids))
        #> read once, kept as a list: [1, 2] 2
    async with engine.begin() as connection:
        await connection.execute(text(f"DROP TABLE {ORDERS}"))
    await engine.dispose()


asyncio.run(main())
