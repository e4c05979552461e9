"""A pooled connection is opened once, borrowed many times, closed once.

池里的连接只建立一次，借出很多次，最后关闭一次。
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


for moment in ("connect", "checkout", "reset", "checkin", "close"):
    record(moment)


async def main() -> None:
    async with async_session() as session:
        await session.execute(text("SELECT 'longjing'"))
    print("first session: ", *life)
    #> first session:  connect checkout reset checkin

    life.clear()
    async with async_session() as session:
        await session.execute(text("SELECT 'oolong'"))
    print("second session:", *life)
    #> second session: checkout reset checkin

    life.clear()
    await engine.dispose()
    print("dispose:       ", *life)
    #> dispose:        close


asyncio.run(main())
