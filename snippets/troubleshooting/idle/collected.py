"""A leaked connection lasts until the garbage collector terminates it.

泄漏的连接要等垃圾回收来强行断开，同时留下一条警告。
"""

import asyncio
import gc
import logging
import os
import re
import warnings

from sqlalchemy import text
from sqlalchemy.ext.asyncio import async_sessionmaker, create_async_engine

engine = create_async_engine(os.environ["DATABASE_URL"])
async_session = async_sessionmaker(engine)


async def forgetful_guest() -> None:
    session = async_session()
    await session.execute(text("SELECT 'pu-erh'"))


async def main() -> None:
    gc.disable()  # it comes when it likes; here it comes when we look
    logging.getLogger("sqlalchemy.pool").addHandler(logging.NullHandler())
    await forgetful_guest()
    print(engine.pool.status())
    #> Pool size: 5  Connections in pool: 0 Current Overflow: -4 Current Checked out connections: 1
    with warnings.catch_warnings(record=True) as caught:
        gc.collect()
    print(re.sub(r"<.+>", "<...>", str(caught[0].message)))
    #> The garbage collector is trying to clean up non-checked-in connection <...>, which will be terminated.  Please ensure that SQLAlchemy pooled connections are returned to the pool explicitly, either by calling ``close()`` or by using appropriate context managers to manage their lifecycle.
    print(engine.pool.status())
    #> Pool size: 5  Connections in pool: 1 Current Overflow: -4 Current Checked out connections: 0
    await engine.dispose()


asyncio.run(main())
