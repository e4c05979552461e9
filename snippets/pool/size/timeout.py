"""The sixteenth borrower waits `pool_timeout` seconds, then gets an error.

第 16 个任务等满 `pool_timeout` 秒还借不到连接，就会报错。
"""

import asyncio
import os
from contextlib import AsyncExitStack

from sqlalchemy import QueuePool, exc
from sqlalchemy.ext.asyncio import create_async_engine

engine = create_async_engine(os.environ["DATABASE_URL"], pool_timeout=0.1)


async def main() -> None:
    async with AsyncExitStack() as lent:
        for _ in range(5 + 10):
            await lent.enter_async_context(engine.connect())
        try:
            await lent.enter_async_context(engine.connect())
        except exc.TimeoutError as error:
            print(str(error).split(" (Background")[0])
            #> QueuePool limit of size 5 overflow 10 reached, connection timed out, timeout 0.10
            print("built-in TimeoutError:", isinstance(error, TimeoutError))
            #> built-in TimeoutError: False

    print(type(engine.pool).__name__, isinstance(engine.pool, QueuePool))
    #> AsyncAdaptedQueuePool True
    await engine.dispose()


asyncio.run(main())
