"""Disposed at SIGTERM, a pool keeps no idle connection while requests end.

一收到 SIGTERM 就 dispose，请求还没处理完，空闲的连接已经放开。
"""

import asyncio
import os
import signal
from collections.abc import AsyncIterator
from contextlib import AsyncExitStack, asynccontextmanager
from typing import Any

from fastapi import FastAPI
from sqlalchemy import text
from sqlalchemy.ext.asyncio import create_async_engine

URL, NAME = os.environ["DATABASE_URL"], f"guide_{os.urandom(4).hex()}"
COUNT = "SELECT count(*) FROM pg_stat_activity WHERE application_name"
BACKENDS = text(f"{COUNT} = '{NAME}'")
NAMED = {"server_settings": {"application_name": NAME}}
engine = create_async_engine(URL, connect_args=NAMED)
watcher = create_async_engine(URL, isolation_level="AUTOCOMMIT")


@asynccontextmanager
async def lifespan(app: FastAPI) -> AsyncIterator[None]:
    loop, servers = asyncio.get_running_loop(), signal.getsignal(signal.SIGTERM)

    def hear(*received: Any) -> None:
        loop.call_soon_threadsafe(loop.create_task, engine.dispose())
        if callable(servers):
            servers(*received)

    signal.signal(signal.SIGTERM, hear)
    yield
    await engine.dispose()


def servers_own(*received: Any) -> None:
    print("the server hears it too")
    #> the server hears it too


async def main() -> None:
    signal.signal(signal.SIGTERM, servers_own)
    async with lifespan(FastAPI()), watcher.connect() as connection:
        async with AsyncExitStack() as busy_hour:
            for _ in range(5):
                await busy_hour.enter_async_context(engine.connect())
        async with engine.connect():  # the last request
            os.kill(os.getpid(), signal.SIGTERM)
            async with asyncio.timeout(60):
                while (left := await connection.scalar(BACKENDS)) > 1:
                    pass
            print("one request left:", left)
            #> one request left: 1
    await watcher.dispose()


asyncio.run(main())
