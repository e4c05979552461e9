"""One function gives its connection back; two forget it, or only sometimes do.

一个函数会归还连接；另两个忘了还，或者只在顺利时才还。
"""

import os
from collections.abc import Awaitable, Callable

from sqlalchemy import text
from sqlalchemy.ext.asyncio import AsyncSession, create_async_engine

engine = create_async_engine(os.environ["DATABASE_URL"])
PRICE = text("SELECT 7")


async def price() -> int:
    async with AsyncSession(engine) as session:
        return int(await session.scalar(PRICE) or 0)


async def price_forgotten() -> int:
    session = AsyncSession(engine)
    return int(await session.scalar(PRICE) or 0)


async def order(pay: Callable[[int], Awaitable[None]]) -> None:
    session = AsyncSession(engine)
    await pay(int(await session.scalar(PRICE) or 0))
    await session.close()
