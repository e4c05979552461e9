"""Without a pool every transaction opens a connection, not only every session.

没有连接池，新开连接的次数看事务，不只看会话。
"""

import asyncio
import os

from sqlalchemy import event, text
from sqlalchemy.ext.asyncio import AsyncSession, create_async_engine
from sqlalchemy.pool import AsyncAdaptedQueuePool, NullPool, Pool

ORDER = text("SELECT 'longjing'")


async def connections_opened(pool: type[Pool], sessions: int, each: int) -> int:
    engine = create_async_engine(os.environ["DATABASE_URL"], poolclass=pool)
    opened = 0

    @event.listens_for(engine.sync_engine, "connect")
    def count(*_: object) -> None:
        nonlocal opened
        opened += 1

    for _ in range(sessions):
        async with AsyncSession(engine) as session:
            for _ in range(each):
                await session.execute(ORDER)
                await session.commit()
    await engine.dispose()
    return opened


async def main() -> None:
    for pool in (AsyncAdaptedQueuePool, NullPool):
        guests = await connections_opened(pool, sessions=20, each=1)
        commits = await connections_opened(pool, sessions=1, each=3)
        opened = f"20 sessions {guests}, one session with 3 commits {commits}"
        print(f"{pool.__name__}: {opened}")
        #> AsyncAdaptedQueuePool: 20 sessions 1, one session with 3 commits 1
        #> NullPool: 20 sessions 20, one session with 3 commits 3


asyncio.run(main())
