"""Two ways to serve: one gives the connection back in any case, one may not.

两种写法：一种无论如何都归还连接，一种不一定。
"""

from collections.abc import Awaitable, Callable

from sqlalchemy import text
from sqlalchemy.ext.asyncio import AsyncEngine, AsyncSession

Drink = Callable[[], Awaitable[object]]
POUR = text("SELECT 'longjing'")


async def serve(engine: AsyncEngine, drink: Drink) -> None:
    async with AsyncSession(engine) as session:
        await session.execute(POUR)
        await drink()


async def serve_forgetfully(engine: AsyncEngine, drink: Drink) -> None:
    session = AsyncSession(engine)
    await session.execute(POUR)
    await drink()
    await session.close()
