"""While two requests hold and wait, the other eight reach their `pool_timeout`.

两个请求占着连接等，另外八个等到 `pool_timeout` 超时；先提交，十个都能完成。
"""

import asyncio
import os

from sqlalchemy import exc, text
from sqlalchemy.ext.asyncio import async_sessionmaker, create_async_engine

engine = create_async_engine(
    os.environ["DATABASE_URL"], pool_size=2, max_overflow=0, pool_timeout=1
)
async_session = async_sessionmaker(engine)


async def request(commit_first: bool, settled: asyncio.Barrier) -> str:
    try:
        async with async_session() as session:
            await session.execute(text("SELECT 'longjing'"))
            if commit_first:
                await session.commit()
            await settled.wait()  # the answer takes longer than pool_timeout
            return "answered"
    except exc.TimeoutError as error:
        await settled.wait()
        return str(error).split(" (Background")[0]


async def ten(commit_first: bool) -> dict[str, int]:
    settled = asyncio.Barrier(10)
    requests = (request(commit_first, settled) for _ in range(10))
    results = await asyncio.gather(*requests)
    return {result: results.count(result) for result in sorted(set(results))}


async def main() -> None:
    print("holding:", await ten(commit_first=False))
    #> holding: {'QueuePool limit of size 2 overflow 0 reached, connection timed out, timeout 1.00': 8, 'answered': 2}
    print("committed:", await ten(commit_first=True))
    #> committed: {'answered': 10}
    await engine.dispose()


asyncio.run(main())
