"""close() while another task's query connects raises; wait for the task first.

另一个任务的查询还在借连接，就 close()，会报错；先等那个任务。
"""

import asyncio
import os

from sqlalchemy import text
from sqlalchemy.exc import IllegalStateChangeError
from sqlalchemy.ext.asyncio import AsyncSession, create_async_engine

engine = create_async_engine(os.environ["DATABASE_URL"])
OOLONG = text("SELECT 'oolong'")


async def main() -> None:
    session = AsyncSession(engine)
    brewing = asyncio.create_task(session.execute(OOLONG))
    await asyncio.sleep(0)  # its turn: it begins to connect
    try:
        await session.close()
    except IllegalStateChangeError as error:
        print(str(error).split(" (Background")[0])
        #> Method 'close()' can't be called here; method '_connection_for_bind()' is already in progress and this would cause an unexpected state change to <SessionTransactionState.CLOSED: 5>
    await brewing
    print("task ended:", engine.pool.status())
    #> task ended: Pool size: 5  Connections in pool: 0 Current Overflow: -4 Current Checked out connections: 1
    await session.close()
    print("closed:", engine.pool.status())
    #> closed: Pool size: 5  Connections in pool: 1 Current Overflow: -4 Current Checked out connections: 0
    await engine.dispose()

    async with AsyncSession(engine) as session:
        brewing = asyncio.create_task(session.execute(OOLONG))
        await asyncio.sleep(0)
        result = await brewing
    print("waited for:", result.scalar_one(), engine.pool.status())
    #> waited for: oolong Pool size: 5  Connections in pool: 1 Current Overflow: -4 Current Checked out connections: 0
    await engine.dispose()


asyncio.run(main())
