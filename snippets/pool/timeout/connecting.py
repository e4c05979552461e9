"""`pool_timeout` does not limit connecting, and who connects has a place.

`pool_timeout` 管不到建连接，正在建的连接也算借出。
"""

import asyncio
import socket

from sqlalchemy import exc
from sqlalchemy.ext.asyncio import AsyncEngine, create_async_engine


async def borrow(who: str, engine: AsyncEngine) -> None:
    try:
        async with engine.connect():
            pass
    except (exc.TimeoutError, TimeoutError) as error:
        print(who, f"{type(error).__module__}.TimeoutError", *error.args)
        #> waits: sqlalchemy.exc.TimeoutError QueuePool limit of size 1 overflow 0 reached, connection timed out, timeout 0.10
        #> connects: builtins.TimeoutError


async def main() -> None:
    silent = socket.create_server(("127.0.0.1", 0))  # it never answers
    port = silent.getsockname()[1]
    engine = create_async_engine(
        f"postgresql+asyncpg://guest@127.0.0.1:{port}/teahouse",
        pool_size=1,
        max_overflow=0,
        pool_timeout=0.1,
        connect_args={"timeout": 1},  # asyncpg's own, 60 by default
    )
    connects = asyncio.create_task(borrow("connects:", engine))
    waits = asyncio.create_task(borrow("waits:", engine))
    await asyncio.wait([connects, waits])
    silent.close()


asyncio.run(main())
