"""Without remove(), async_scoped_session keeps each task's session for ever.

不调用 remove()，async_scoped_session 会永远留着每个任务的会话。
"""

import asyncio
import gc
import os

from sqlalchemy import text
from sqlalchemy.ext.asyncio import (
    async_scoped_session,
    async_sessionmaker,
    create_async_engine,
)

engine = create_async_engine(os.environ["DATABASE_URL"])
scoped = async_scoped_session(async_sessionmaker(engine), asyncio.current_task)
kept = scoped.registry.registry


async def careful_guest() -> None:
    try:
        await scoped.execute(text("SELECT 'longjing'"))
    finally:
        await scoped.remove()


async def forgetful_guest() -> None:
    await scoped.execute(text("SELECT 'oolong'"))


async def main() -> None:
    for guest in (careful_guest, forgetful_guest):
        await asyncio.gather(*(guest() for _ in range(3)))
        gc.collect()
        print(f"{guest.__name__}: {len(kept)} sessions,", engine.pool.status())
        #> careful_guest: 0 sessions, Pool size: 5  Connections in pool: 3 Current Overflow: -2 Current Checked out connections: 0
        #> forgetful_guest: 3 sessions, Pool size: 5  Connections in pool: 0 Current Overflow: -2 Current Checked out connections: 3

    for session in kept.values():
        await session.close()
    await engine.dispose()


asyncio.run(main())
