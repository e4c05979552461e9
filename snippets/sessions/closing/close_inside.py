"""Left in peace, an extra close() changes nothing: the connection returns once.

没有取消时，多写的 close() 没有作用：连接归还一次。
"""

import asyncio
import os
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

from sqlalchemy import event, text
from sqlalchemy.ext.asyncio import (
    AsyncSession,
    async_sessionmaker,
    create_async_engine,
)

engine = create_async_engine(os.environ["DATABASE_URL"])
async_session = async_sessionmaker(engine)
happened: list[str] = []


def note(name: str) -> None:
    event.listen(engine.sync_engine, name, lambda *_: happened.append(name))


@asynccontextmanager
async def get_session(closes: int) -> AsyncIterator[AsyncSession]:
    async with async_session() as session:
        yield session
        for _ in range(closes):
            await session.close()


async def main() -> None:
    note("checkout")
    note("rollback")
    note("checkin")
    for closes in (0, 1, 3):
        happened.clear()
        async with get_session(closes) as session:
            await session.execute(text("SELECT 'oolong'"))
        print(f"{closes} x close() after yield:", happened)
        #> 0 x close() after yield: ['checkout', 'rollback', 'checkin']
        #> 1 x close() after yield: ['checkout', 'rollback', 'checkin']
        #> 3 x close() after yield: ['checkout', 'rollback', 'checkin']
    await engine.dispose()


asyncio.run(main())
