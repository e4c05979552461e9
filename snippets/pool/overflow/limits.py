"""Twenty guests at once, under three limits: how many are opened and closed.

二十位客人同时来，`max_overflow` 取三个值：各建几个连接，关几个。
"""

import asyncio
import os
from collections import Counter

from sqlalchemy import event, text
from sqlalchemy.ext.asyncio import create_async_engine


async def twenty_guests(max_overflow: int) -> Counter[str]:
    engine = create_async_engine(
        os.environ["DATABASE_URL"], max_overflow=max_overflow
    )
    seen = Counter[str]()

    @event.listens_for(engine.sync_engine, "connect")
    def opened(*_: object) -> None:
        seen["opened"] += 1

    @event.listens_for(engine.sync_engine, "close")
    def closed(*_: object) -> None:
        seen["closed"] += 1

    async def guest() -> None:
        async with engine.connect() as connection:
            await connection.execute(text("SELECT 'oolong'"))

    await asyncio.gather(*(guest() for _ in range(20)))
    result = seen.copy()
    await engine.dispose()
    return result


async def main() -> None:
    for max_overflow in (0, 10, -1):
        seen = await twenty_guests(max_overflow)
        opened, closed = seen["opened"], seen["closed"]
        print(f"5 + {max_overflow}: {opened} opened, {closed} closed")
        #> 5 + 0: 5 opened, 0 closed
        #> 5 + 10: 15 opened, 10 closed
        #> 5 + -1: 20 opened, 15 closed


asyncio.run(main())
