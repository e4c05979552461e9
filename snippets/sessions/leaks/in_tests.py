"""A `with` for tests that fails unless every connection has come back.

给测试用的 with：只要有连接没归还，测试就失败。
"""

import asyncio
import os
from collections import Counter
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
    out: Counter[object] = Counter()

    def borrow(_: object, entry: object, proxy: object) -> None:
        out[entry] += 1

    def give_back(_: object, entry: object) -> None:
        out[entry] -= out[entry] > 0  # 0 if it was taken before the `with`

    event.listen(engine.sync_engine, "checkout", borrow)
    event.listen(engine.sync_engine, "checkin", give_back)
    try:
        yield
    finally:
        event.remove(engine.sync_engine, "checkout", borrow)
        event.remove(engine.sync_engine, "checkin", give_back)
    assert not out.total(), f"connections lost: {out.total()}"


async def main() -> None:
    with no_leaks(engine):
        async with async_session() as session:
            await session.execute(ORDER)
    try:
        with no_leaks(engine):
            await session.execute(ORDER)
    except AssertionError as error:
        print(error)
        #> connections lost: 1
    await session.close()
    await engine.dispose()


asyncio.run(main())
