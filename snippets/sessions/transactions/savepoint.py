"""An error caught in begin() costs the whole block; in a savepoint, one step.

在 begin() 里捕获错误，整个事务都会回滚；用保存点，撤销的是一步。
"""

import asyncio
import os
from contextlib import nullcontext, suppress
from secrets import token_hex

from sqlalchemy import text
from sqlalchemy.exc import IntegrityError
from sqlalchemy.ext.asyncio import async_sessionmaker, create_async_engine

engine = create_async_engine(os.environ["DATABASE_URL"])
async_session = async_sessionmaker(engine)
ORDERS = f"guide_orders_{token_hex(4)}"
ORDER = text(f"INSERT INTO {ORDERS} VALUES (:drink)")


async def place(drinks: list[str], savepoints: bool) -> None:
    async with async_session.begin() as session:
        for drink in drinks:
            step = session.begin_nested() if savepoints else nullcontext()
            with suppress(IntegrityError):
                async with step:
                    await session.execute(ORDER, {"drink": drink})


async def saved() -> list[str]:
    async with engine.connect() as connection:
        return list(await connection.scalars(text(f"TABLE {ORDERS}")))


async def main() -> None:
    async with engine.begin() as connection:
        await connection.execute(
            text(f"CREATE TABLE {ORDERS} (drink text PRIMARY KEY)")
        )
    for savepoints in (False, True):
        await place(["longjing", "oolong", "longjing"], savepoints)
        print(f"savepoints {savepoints}: no error, saved", await saved())
        #> savepoints False: no error, saved []
        #> savepoints True: no error, saved ['longjing', 'oolong']
    async with engine.begin() as connection:
        await connection.execute(text(f"DROP TABLE {ORDERS}"))
    await engine.dispose()


asyncio.run(main())
