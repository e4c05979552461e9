"""A `with` for tests that fails unless every connection has come back.

给测试用的 with：只要有连接没归还，测试就失败。
"""

import asyncio
import os
from collections.abc import Iterator
from contextlib import contextmanager

from sqlalchemy import event, text
from sqlalchemy.ext.asyncio import (
    AsyncEngine,
    async_sessionmaker,
    create_async_engine,
)

engine = create_async_engine(os.environ["DATABASE_URL"])
async_session = async_sessionmaker(engine)
ORDER = text("SELECT 'longjing'")


@contextmanager
def no_leaks(engine: AsyncEngine) -> Iterator[None]:
    counts = {"checkout": 0, "checkin": 0}

    def count_checkout(*_: object) -> None:
        counts["checkout"] += 1

    def count_checkin(*_: object) -> None:
        counts["checkin"] += 1

    event.listen(engine.sync_engine, "checkout", count_checkout)
    event.listen(engine.sync_engine, "checkin", count_checkin)
    try:
        yield
    finally:
        event.remove(engine.sync_engine, "checkout", count_checkout)
        event.remove(engine.sync_engine, "checkin", count_checkin)
    lost = counts["checkout"] - counts["checkin"]
    assert not lost, "{} of {checkout} connections lost".format(lost, **counts)


async def main() -> None:
    with no_leaks(engine):
        async with async_session() as session:
            await session.execute(ORDER)
    try:
        with no_leaks(engine):
            await session.execute(ORDER)
    except AssertionError as error:
        print(error)
        #> 1 of 1 connections lost
    await session.close()
    await engine.dispose()


asyncio.run(main())
