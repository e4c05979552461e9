"""`pool_size=0` does not turn the pool off, it takes the limit away.

`pool_size=0` 不是关掉连接池，而是取消了上限。
"""

import asyncio
import os
from contextlib import AsyncExitStack

from sqlalchemy.ext.asyncio import create_async_engine

engine = create_async_engine(
    os.environ["DATABASE_URL"], pool_size=0, max_overflow=1
)


async def main() -> None:
    async with AsyncExitStack() as lent:
        for _ in range(20):
            await lent.enter_async_context(engine.connect())
        print(engine.pool.status())
        #> Pool size: 0  Connections in pool: 0 Current Overflow: 0 Current Checked out connections: 20
    print(engine.pool.status())
    #> Pool size: 0  Connections in pool: 20 Current Overflow: 0 Current Checked out connections: 0
    await engine.dispose()


asyncio.run(main())
