"""An old process keeps its idle connections beside the new one's until it ends.

旧进程不退出，空闲连接就一直占着名额，和新进程的加在一起。
"""

import asyncio
import os
from contextlib import AsyncExitStack
from secrets import token_hex

from sqlalchemy import text
from sqlalchemy.ext.asyncio import create_async_engine
from sqlalchemy.pool import NullPool

URL = os.environ["DATABASE_URL"]
NAME = f"guide_{token_hex(4)}"
BACKENDS = text(
    f"SELECT count(*) FROM pg_stat_activity WHERE application_name = '{NAME}'"
)
NAMED = {"server_settings": {"application_name": NAME}}
old, new = (  # one engine stands for each process
    create_async_engine(URL, pool_size=4, max_overflow=2, connect_args=NAMED)
    for _ in range(2)
)
watcher = create_async_engine(URL, poolclass=NullPool)


async def on_the_server(expected: int) -> int:
    async with asyncio.timeout(30), watcher.connect() as connection:
        while (found := await connection.scalar(BACKENDS)) > expected:
            await connection.rollback()  # a closed backend needs a moment
    return int(found)


async def main() -> None:
    async with AsyncExitStack() as requests:
        for _ in range(4 + 2):
            await requests.enter_async_context(old.connect())
        print("old, busy:", await on_the_server(6))
        #> old, busy: 6
    print("old, no more requests:", await on_the_server(4))
    #> old, no more requests: 4
    async with AsyncExitStack() as requests:
        for _ in range(4 + 2):
            await requests.enter_async_context(new.connect())
        print("old idle, new busy:", await on_the_server(10))
        #> old idle, new busy: 10
        await old.dispose()
        print("old has ended:", await on_the_server(6))
        #> old has ended: 6
    await new.dispose()


asyncio.run(main())
