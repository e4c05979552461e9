"""After commit() a begin() block takes no more SQL; write two blocks instead.

在 begin() 块里提交之后，不能再执行 SQL；要提交两次，就写两个块。
"""

import asyncio
import os
from secrets import token_hex

from sqlalchemy import text
from sqlalchemy.exc import InvalidRequestError
from sqlalchemy.ext.asyncio import async_sessionmaker, create_async_engine

engine = create_async_engine(os.environ["DATABASE_URL"])
async_session = async_sessionmaker(engine)
ORDERS = f"guide_orders_{token_hex(4)}"
ORDER = text(f"INSERT INTO {ORDERS} VALUES (:drink)")


async def saved() -> list[str]:
    async with engine.connect() as connection:
        return list(await connection.scalars(text(f"TABLE {ORDERS}")))


async def main() -> None:
    async with engine.begin() as connection:
        await connection.execute(text(f"CREATE TABLE {ORDERS} (drink text)"))

    try:
        async with async_session.begin() as session:
            await session.execute(ORDER, {"drink": "longjing"})
            await session.commit()
            await session.execute(ORDER, {"drink": "oolong"})
    except InvalidRequestError as error:
        print(error)
        #> Can't operate on closed transaction inside context manager.  Please complete the context manager before emitting further commands.
    print(await saved())
    #> ['longjing']

    async with async_session() as session:
        async with session.begin():
            await session.execute(ORDER, {"drink": "oolong"})
        async with session.begin():
            await session.execute(ORDER, {"drink": "pu-erh"})
    print(await saved())
    #> ['longjing', 'oolong', 'pu-erh']

    async with engine.begin() as connection:
        await connection.execute(text(f"DROP TABLE {ORDERS}"))
    await engine.dispose()


asyncio.run(main())
