"""An overflow connection is closed when it comes back to a full pool.

溢出连接归还时，空闲连接已有 pool_size 个，就被关闭。
"""

import asyncio
import os

from sqlalchemy.ext.asyncio import create_async_engine

engine = create_async_engine(
    os.environ["DATABASE_URL"], pool_size=1, max_overflow=2
)


async def main() -> None:
    async with engine.connect(), engine.connect(), engine.connect():
        print("lent:", engine.pool.status())
        #> lent: Pool size: 1  Connections in pool: 0 Current Overflow: 2 Current Checked out connections: 3
    print("returned:", engine.pool.status())
    #> returned: Pool size: 1  Connections in pool: 1 Current Overflow: 0 Current Checked out connections: 0
    await engine.dispose()


asyncio.run(main())
