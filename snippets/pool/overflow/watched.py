"""Three counters tell a calm pool from one that opens and closes all day.

三个计数就能看出：连接池是平稳的，还是整天在反复建连接、关连接。
"""

import asyncio
import os
from collections import Counter

from sqlalchemy import event
from sqlalchemy.ext.asyncio import create_async_engine

engine = create_async_engine(os.environ["DATABASE_URL"])
counts = Counter[str]()


def count(moment: str) -> None:
    event.listen(engine.sync_engine, moment, lambda *_: counts.update([moment]))


for moment in ("checkout", "connect", "close"):
    count(moment)


async def serve(guests: int, rounds: int) -> str:
    """What the counters say after so many rounds of so many guests."""
    counts.clear()
    everyone = asyncio.Barrier(guests)

    async def guest() -> None:
        async with engine.connect():
            await everyone.wait()

    for _ in range(rounds):
        await asyncio.gather(*(guest() for _ in range(guests)))
    return (
        f"{counts['checkout']} borrowed,"
        f" {counts['connect']} opened, {counts['close']} closed"
    )


async def main() -> None:
    print("morning, 3 at a time:", await serve(guests=3, rounds=20))
    #> morning, 3 at a time: 60 borrowed, 3 opened, 0 closed
    print("noon,   12 at a time:", await serve(guests=12, rounds=5))
    #> noon,   12 at a time: 60 borrowed, 37 opened, 35 closed
    print("evening, 3 at a time:", await serve(guests=3, rounds=20))
    #> evening, 3 at a time: 60 borrowed, 0 opened, 0 closed
    await engine.dispose()


asyncio.run(main())
