"""Told to end, a process keeps idle connections until its last request ends.

进程收到结束的通知后，要等最后一个请求结束，才关闭空闲的连接。
"""

import asyncio
import os
from collections.abc import AsyncIterator
from contextlib import AsyncExitStack, asynccontextmanager
from socket import create_server

import httpx
import uvicorn
from fastapi import FastAPI
from sqlalchemy import text
from sqlalchemy.ext.asyncio import create_async_engine

URL, NAME = os.environ["DATABASE_URL"], f"guide_{os.urandom(4).hex()}"
COUNT = "SELECT count(*) FROM pg_stat_activity WHERE application_name"
BACKENDS = text(f"{COUNT} = '{NAME}'")
NAMED = {"server_settings": {"application_name": NAME}}
engine = create_async_engine(URL, connect_args=NAMED)
watcher = create_async_engine(URL, isolation_level="AUTOCOMMIT")
brewing, brewed = asyncio.Event(), asyncio.Event()


@asynccontextmanager
async def lifespan(app: FastAPI) -> AsyncIterator[None]:
    yield
    await engine.dispose()


async def brew() -> None:
    async with engine.connect():
        brewing.set()
        await brewed.wait()


async def main() -> None:
    async with AsyncExitStack() as busy_hour:
        for _ in range(5):
            await busy_hour.enter_async_context(engine.connect())
    app = FastAPI(lifespan=lifespan)
    app.add_api_route("/", brew)
    server = uvicorn.Server(uvicorn.Config(app, log_level="critical"))
    door = create_server(("127.0.0.1", 0))
    url = f"http://127.0.0.1:{door.getsockname()[1]}"
    serving = asyncio.create_task(server.serve([door]))
    guest = asyncio.create_task(asyncio.to_thread(httpx.get, url, timeout=60))
    await brewing.wait()
    server.should_exit = True  # what SIGTERM does
    async with watcher.connect() as connection:
        while door.fileno() != -1:  # then it lets nobody in
            await connection.scalar(BACKENDS)
        print("one request left:", await connection.scalar(BACKENDS))
        #> one request left: 5
    brewed.set()
    await asyncio.gather(guest, serving, watcher.dispose())


asyncio.run(main())
