"""A lost session holds its connection until a garbage collection.

没关的会话丢了，它的连接要等到垃圾回收才回来。
"""

import asyncio
import gc
import logging
import os
import warnings
from collections.abc import Awaitable
from contextlib import suppress

from sqlalchemy import QueuePool, text
from sqlalchemy.exc import DBAPIError
from sqlalchemy.ext.asyncio import async_sessionmaker, create_async_engine

engine = create_async_engine(os.environ["DATABASE_URL"])
async_session = async_sessionmaker(engine)


async def failed() -> None:
    session = async_session()
    await session.execute(text("SELECT 1 / 0"))
    await session.close()


async def timed_out() -> None:
    session = async_session()
    await session.execute(text("SELECT 'oolong'"))
    async with asyncio.timeout(0):
        await asyncio.Event().wait()  # a slow call to some other service
    await session.close()


async def committed() -> None:
    connection = await engine.connect()
    await connection.execute(text("SELECT 'pu-erh'"))
    await connection.commit()


async def shrug(work: Awaitable[None]) -> None:
    with suppress(DBAPIError, TimeoutError):
        await work


async def main() -> None:
    assert isinstance(engine.pool, QueuePool)
    for lose in (failed, timed_out, committed):
        await asyncio.create_task(shrug(lose()))
        before = engine.pool.checkedout()
        gc.collect()
        print(f"{lose.__name__}: {before} out, then {engine.pool.checkedout()}")
        #> failed: 1 out, then 0
        #> timed_out: 1 out, then 0
        #> committed: 0 out, then 0
    await engine.dispose()


gc.disable()  # it comes when it likes; here it comes when we look
warnings.simplefilter("ignore")
logging.getLogger("sqlalchemy.pool").addHandler(logging.NullHandler())
asyncio.run(main())
