"""The default pool of 15 is safe for 14 tasks with two sessions, not for 15.

默认的池最多 15 个连接：每个任务两个会话，14 个任务没事，15 个全卡死。
"""

import asyncio
import os
from contextlib import AsyncExitStack

from sqlalchemy import exc
from sqlalchemy.ext.asyncio import AsyncEngine, create_async_engine

engine = create_async_engine(os.environ["DATABASE_URL"], pool_timeout=2)


async def borrow_last(engine: AsyncEngine) -> bool:
    try:
        async with engine.connect():
            return True
    except exc.TimeoutError:
        return False


async def served(tasks: int, each: int) -> int:
    """All hold what they need but one, and then ask for the last."""
    async with AsyncExitStack() as held:
        for _ in range(min(15, tasks * (each - 1))):
            await held.enter_async_context(engine.connect())
        asking = (borrow_last(engine) for _ in range(tasks))
        return sum(await asyncio.gather(*asking))


async def main() -> None:
    for each, safe in ((2, 14), (3, 7), (4, 4)):
        print(
            f"{each} each: {safe} tasks, {await served(safe, each)} served;",
            f"{safe + 1} tasks, {await served(safe + 1, each)} served",
        )
        #> 2 each: 14 tasks, 14 served; 15 tasks, 0 served
        #> 3 each: 7 tasks, 7 served; 8 tasks, 0 served
        #> 4 each: 4 tasks, 4 served; 5 tasks, 0 served
    await engine.dispose()


asyncio.run(main())
