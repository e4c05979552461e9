"""invalidate() ends one connection: now, or softly at its next checkout.

invalidate() 只作废一个连接：立刻断开，或者等下次借出时再换。
"""

import asyncio
import os

from sqlalchemy import event, text
from sqlalchemy.ext.asyncio import async_sessionmaker, create_async_engine

engine = create_async_engine(os.environ["DATABASE_URL"])
async_session = async_sessionmaker(engine)
life: list[str] = []


def record(moment: str) -> None:
    event.listen(engine.sync_engine, moment, lambda *_: life.append(moment))


for moment in ("connect", "close", "checkin"):
    record(moment)


async def brew() -> None:
    async with async_session() as session:
        await session.execute(text("SELECT 'longjing'"))


async def main() -> None:
    await brew()
    life.clear()
    async with async_session() as session:
        await session.execute(text("SELECT 'oolong'"))
        await session.invalidate()
    await brew()
    print("session.invalidate():", *life)
    #> session.invalidate(): close checkin connect checkin

    life.clear()
    async with engine.connect() as connection:
        (await connection.get_raw_connection()).invalidate(soft=True)
        await connection.execute(text("SELECT 'pu-erh'"))
    await brew()
    print("invalidate(soft=True):", *life)
    #> invalidate(soft=True): checkin close connect checkin
    await engine.dispose()


asyncio.run(main())
