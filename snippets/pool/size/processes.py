"""Every process has a pool of its own, so the limits multiply.

每个进程都有自己的连接池，上限要乘以进程数。
"""

import asyncio
import os
import sys
from asyncio.subprocess import PIPE, create_subprocess_exec
from contextlib import AsyncExitStack
from secrets import token_hex

from sqlalchemy import text
from sqlalchemy.ext.asyncio import create_async_engine
from sqlalchemy.pool import NullPool

URL = os.environ["DATABASE_URL"]
IS_WORKER = "worker" in sys.argv
NAME = sys.argv[-1] if IS_WORKER else f"teahouse_{token_hex(4)}"
SETTINGS = {"server_settings": {"application_name": NAME}}
BACKENDS = text(f"""
    SELECT count(*) FROM pg_stat_activity WHERE application_name = '{NAME}'
""")


async def worker() -> None:
    engine = create_async_engine(
        URL, pool_size=2, max_overflow=1, connect_args=SETTINGS
    )
    async with AsyncExitStack() as lent:
        for _ in range(2 + 1):
            await lent.enter_async_context(engine.connect())
        print("full", flush=True)
        await asyncio.to_thread(sys.stdin.readline)
    await engine.dispose()


async def main() -> None:
    workers = [
        await create_subprocess_exec(
            *(sys.executable, __file__, "worker", NAME),
            stdin=PIPE,
            stdout=PIPE,
        )
        for _ in range(2)
    ]
    for process in workers:
        assert process.stdout
        await process.stdout.readline()
    watcher = create_async_engine(URL, poolclass=NullPool)
    async with watcher.connect() as connection:
        print("2 x (2 + 1) =", await connection.scalar(BACKENDS))
        #> 2 x (2 + 1) = 6
    for process in workers:
        await process.communicate(b"close\n")


asyncio.run(worker() if IS_WORKER else main())
