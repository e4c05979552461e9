"""Disposed at SIGTERM, a pool closes its idle connections while requests run.

一收到 SIGTERM 就 dispose，请求还没处理完，空闲的连接已经关闭。
"""

import asyncio
import os
import signal
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from threading import current_thread, main_thread
from typing import Any

from sqlalchemy import text
from sqlalchemy.ext.asyncio import create_async_engine

URL, NAME = os.environ["DATABASE_URL"], f"guide_{os.urandom(4).hex()}"
COUNT = "SELECT count(*) FROM pg_stat_activity WHERE application_name"
BACKENDS = text(f"{COUNT} = '{NAME}'")
NAMED = {"server_settings": {"application_name": NAME}}
engine = create_async_engine(URL, connect_args=NAMED)
watcher = create_async_engine(URL, isolation_level="AUTOCOMMIT")


@asynccontextmanager
async def lifespan(app: object) -> AsyncIterator[None]:
    loop = asyncio.get_running_loop()
    servers: Any = signal.getsignal(signal.SIGTERM)
    early = list[Any]()

    def hear(*received: Any) -> None:
        early.append(asyncio.run_coroutine_threadsafe(engine.dispose(), loop))
        servers(*received)

    if heard := callable(servers) and current_thread() is main_thread():
        signal.signal(signal.SIGTERM, hear)
    yield
    if heard:
        signal.signal(signal.SIGTERM, servers)
    await asyncio.gather(*map(asyncio.wrap_future, early), engine.dispose())


async def main() -> None:
    def servers_own(*received: Any) -> None:
        print("the server hears it too")
        #> the server hears it too

    signal.signal(signal.SIGTERM, servers_own)
    async with lifespan(None), watcher.connect() as connection:
        guests = [await engine.connect() for _ in range(5)]
        await asyncio.gather(*(guest.close() for guest in guests))
        async with engine.connect():  # the last request
            os.kill(os.getpid(), signal.SIGTERM)
            while (left := await connection.scalar(BACKENDS)) > 1:
                pass
            print("one request left:", left)
            #> one request left: 1
    await watcher.dispose()


asyncio.run(main())
