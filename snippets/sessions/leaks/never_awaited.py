"""close() without await, or the synchronous remove(), closes nothing.

close() 前面漏了 await，或者用了同步版的 remove()，会话都没有关。
"""

import asyncio
import gc
import logging
import os
import warnings
from typing import Any

from sqlalchemy import text
from sqlalchemy.ext.asyncio import async_sessionmaker, create_async_engine
from sqlalchemy.orm import scoped_session

engine = create_async_engine(os.environ["DATABASE_URL"])
async_session: Any = async_sessionmaker(engine)
LONGJING = text("SELECT 'longjing'")


async def close_without_await() -> None:
    session = async_session()
    await session.execute(LONGJING)
    session.close()


async def scoped_without_async() -> None:
    registry = scoped_session(async_session, asyncio.current_task)
    await registry().execute(LONGJING)
    registry.remove()


async def main() -> None:
    for leak in (close_without_await, scoped_without_async):
        with warnings.catch_warnings(record=True, action="always") as caught:
            await asyncio.create_task(leak())
        print(f"{leak.__name__}: {caught[-1].message},", engine.pool.status())
        #> close_without_await: coroutine 'AsyncSession.close' was never awaited, Pool size: 5  Connections in pool: 0 Current Overflow: -4 Current Checked out connections: 1
        #> scoped_without_async: coroutine 'AsyncSession.close' was never awaited, Pool size: 5  Connections in pool: 0 Current Overflow: -4 Current Checked out connections: 1
        caught.clear()  # a warning holds the coroutine, so also the session
        gc.collect()
    await engine.dispose()


gc.disable()  # it comes when it likes; here it comes when we look
warnings.simplefilter("ignore")
logging.getLogger("sqlalchemy.pool").addHandler(logging.NullHandler())
asyncio.run(main())
