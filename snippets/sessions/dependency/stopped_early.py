"""A `return` inside `async for` loses the commit that stands after yield.

在 async for 里 return，写在 yield 之后的 commit 就丢了。
"""

import asyncio
import os
from collections.abc import AsyncIterator
from secrets import token_hex

from sqlalchemy import event, text
from sqlalchemy.ext.asyncio import (
    AsyncSession,
    async_sessionmaker,
    create_async_engine,
)

engine = create_async_engine(os.environ["DATABASE_URL"])
async_session = async_sessionmaker(engine)
ORDERS = f"guide_orders_{token_hex(4)}"
INSERT = text(f"INSERT INTO {ORDERS} (drink) VALUES ('pu-erh')")
COUNT = text(f"SELECT count(*) FROM {ORDERS}")


async def get_session() -> AsyncIterator[AsyncSession]:
    async with async_session() as session:
        yield session
        await session.commit()


async def to_the_end() -> None:
    async for session in get_session():
        await session.execute(INSERT)


async def returning() -> None:
    async for session in get_session():
        await session.execute(INSERT)
        return


async def main() -> None:
    async with engine.begin() as connection:
        await connection.execute(text(f"CREATE TABLE {ORDERS} (drink text)"))
    back = asyncio.Event()
    event.listen(engine.sync_engine, "checkin", lambda *_: back.set())
    for work in (to_the_end, returning):
        back.clear()
        await work()
        connection_is = "back" if back.is_set() else "still out"
        await back.wait()
        async with engine.connect() as connection:
            rows = await connection.scalar(COUNT)
        print(f"{work.__name__}: connection {connection_is}, rows {rows}")
        #> to_the_end: connection back, rows 1
        #> returning: connection still out, rows 1
    async with engine.begin() as connection:
        await connection.execute(text(f"DROP TABLE {ORDERS}"))
    await engine.dispose()


asyncio.run(main())
