"""Five tasks with two sessions each lock up a pool of five, not one of six.

五个任务，每个要两个会话：五个连接的池全部卡死，六个就没事。
"""

import asyncio
import os

from sqlalchemy import exc, text
from sqlalchemy.ext.asyncio import AsyncSession, create_async_engine

SELECT = text("SELECT 'oolong'")


async def serve_five(pool_size: int) -> list[str]:
    engine = create_async_engine(
        os.environ["DATABASE_URL"],
        pool_size=pool_size,
        max_overflow=0,
        pool_timeout=1,
    )
    everyone = asyncio.Barrier(5)

    async def log_visit() -> str:
        try:
            async with AsyncSession(engine) as second:
                await second.execute(SELECT)
            return "served"
        except exc.TimeoutError as error:
            return str(error).split(" (Background")[0]

    async def serve() -> str:
        async with AsyncSession(engine) as first:
            await first.execute(SELECT)
            await everyone.wait()  # all five hold one connection
            result = await log_visit()
            await everyone.wait()  # and keep it until all have an answer
            return result

    results = await asyncio.gather(*(serve() for _ in range(5)))
    await engine.dispose()
    return [f"{results.count(each)}: {each}" for each in sorted(set(results))]


async def main() -> None:
    for pool_size in (5, 6):
        print(await serve_five(pool_size))
        #> ['5: QueuePool limit of size 5 overflow 0 reached, connection timed out, timeout 1.00']
        #> ['5: served']


asyncio.run(main())
