"""Overflow connections are opened and closed again with every burst.

每来一波并发，溢出连接都要重新打开，用完再关掉。
"""

import asyncio
import os

from sqlalchemy import event
from sqlalchemy.ext.asyncio import create_async_engine


async def connections_opened(pool_size: int, max_overflow: int) -> int:
    engine = create_async_engine(
        os.environ["DATABASE_URL"],
        pool_size=pool_size,
        max_overflow=max_overflow,
    )
    opened = 0
    everyone = asyncio.Barrier(12)

    @event.listens_for(engine.sync_engine, "connect")
    def count(*_: object) -> None:
        nonlocal opened
        opened += 1

    async def guest() -> None:
        async with engine.connect():
            await everyone.wait()

    for _ in range(5):
        await asyncio.gather(*(guest() for _ in range(12)))
    await engine.dispose()
    return opened


async def main() -> None:
    print("5 + 10:", await connections_opened(pool_size=5, max_overflow=10))
    #> 5 + 10: 40
    print("12 + 3:", await connections_opened(pool_size=12, max_overflow=3))
    #> 12 + 3: 12


asyncio.run(main())
