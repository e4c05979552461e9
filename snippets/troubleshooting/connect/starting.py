"""A server that is not up yet refuses; asking again at the start waits for it.

数据库还没起来就拒绝连接；程序启动时隔一会儿问一次，等到它起来。
"""

import asyncio
import os
from typing import Any

from sqlalchemy import event
from sqlalchemy.ext.asyncio import AsyncEngine, create_async_engine

engine = create_async_engine(os.environ["DATABASE_URL"])
not_up_yet = [1, 2]


@event.listens_for(engine.sync_engine, "do_connect")
def look_for_it(*arguments: Any) -> None:
    """The first two attempts go to a port where nobody listens."""
    if not_up_yet:
        not_up_yet.pop()
        arguments[-1].update(host="127.0.0.1", port=1)


async def is_up(engine: AsyncEngine) -> bool:
    try:
        async with engine.connect():
            return True
    except Exception as error:
        cause = getattr(error, "orig", error)
        # 57P03: "the database system is starting up"
        starts = getattr(cause, "sqlstate", None) == "57P03"
        if not starts and not isinstance(cause, OSError):
            raise
        print(type(cause).__name__)
        #> ConnectionRefusedError
        #> ConnectionRefusedError
        return False


async def main() -> None:
    pause = 0.1
    async with asyncio.timeout(60):
        while not await is_up(engine):
            await asyncio.sleep(pause)
            pause = min(2 * pause, 2)
    print("up:", await is_up(engine))
    #> up: True
    await engine.dispose()


asyncio.run(main())
