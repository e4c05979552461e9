"""Leaving the block does not commit; `commit()` does, or `begin()` at its end.

离开代码块不会提交；commit() 会，正常离开 begin() 也会。
"""

import asyncio
import os
from secrets import token_hex

from sqlalchemy import text
from sqlalchemy.ext.asyncio import async_sessionmaker, create_async_engine

engine = create_async_engine(os.environ["DATABASE_URL"])
async_session = async_sessionmaker(engine)
ORDERS = f"guide_orders_{token_hex(4)}"
INSERT = text(f"INSERT INTO {ORDERS} (drink) VALUES ('longjing')")


async def rows() -> object:
    async with engine.connect() as connection:
        return await connection.scalar(text(f"SELECT count(*) FROM {ORDERS}"))


async def main() -> None:
    async with engine.begin() as connection:
        await connection.execute(text(f"CREATE TABLE {ORDERS} (drink text)"))

    async with async_session() as session:
        await session.execute(INSERT)
    print("no commit:", await rows())
    #> no commit: 0

    async with async_session() as session:
        await session.execute(INSERT)
        await session.commit()
    print("commit():", await rows())
    #> commit(): 1

    async with async_session.begin() as session:
        await session.execute(INSERT)
    print("begin():", await rows())
    #> begin(): 2

    try:
        async with async_session.begin() as session:
            await session.execute(INSERT)
            raise LookupError("out of longjing")
    except LookupError as error:
        print(f"begin(), then {error}:", await rows())
        #> begin(), then out of longjing: 2

    async with engine.begin() as connection:
        await connection.execute(text(f"DROP TABLE {ORDERS}"))
    await engine.dispose()


asyncio.run(main())
