"""Linux ends a dead line itself, and the pre-ping does not wait for long.

没有响应的连接由 Linux 断开，预检不会久等。
"""

import asyncio
import os
import socket
from typing import Any

from sqlalchemy import event
from sqlalchemy.ext.asyncio import create_async_engine

OPTION = socket.IPPROTO_TCP, socket.TCP_USER_TIMEOUT
MILLISECONDS = 10_000
engine = create_async_engine(os.environ["DATABASE_URL"], pool_pre_ping=True)


def line_of(asyncpg_connection: Any) -> Any:
    return asyncpg_connection._transport.get_extra_info("socket")


@event.listens_for(engine.sync_engine, "connect")
def limit_silence(connection: Any, _: object) -> None:
    line_of(connection.driver_connection).setsockopt(*OPTION, MILLISECONDS)


async def main() -> None:
    async with engine.connect() as connection:
        raw = await connection.get_raw_connection()
        print(line_of(raw.driver_connection).getsockopt(*OPTION))
        #> 10000
    await engine.dispose()


asyncio.run(main())
