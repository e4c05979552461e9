"""The dispose() in lifespan disconnects the pool when the server stops.

lifespan 里的 dispose() 在停机时断开池里的连接。
"""

import asyncio
import os
import socket
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

import httpx
import uvicorn
from fastapi import FastAPI
from sqlalchemy import NullPool, text
from sqlalchemy.ext.asyncio import create_async_engine

URL = os.environ["DATABASE_URL"]
NAME = {"server_settings": {"application_name": "teahouse"}}
BACKENDS = text("""
    SELECT count(*) FROM pg_stat_activity
    WHERE datname = current_database() AND application_name = 'teahouse'
""")
engine = create_async_engine(URL, connect_args=NAME)
watcher = create_async_engine(URL, poolclass=NullPool)


async def pour() -> str:
    async with engine.connect() as connection:
        return str(await connection.scalar(text("SELECT 'longjing'")))


@asynccontextmanager
async def lifespan(app: FastAPI) -> AsyncIterator[None]:
    yield
    await engine.dispose()


async def serve_one_guest(app: FastAPI) -> None:
    app.add_api_route("/", pour)
    server = uvicorn.Server(uvicorn.Config(app, log_level="critical"))
    listener = socket.create_server(("127.0.0.1", 0))
    serving = asyncio.create_task(server.serve(sockets=[listener]))
    url = f"http://127.0.0.1:{listener.getsockname()[1]}"
    async with httpx.AsyncClient(base_url=url, trust_env=False) as client:
        await client.get("/")
    server.should_exit = True
    await serving


async def main() -> None:
    await serve_one_guest(FastAPI())
    async with watcher.connect() as connection:
        print("server stopped:", await connection.scalar(BACKENDS))
        #> server stopped: 1
    await serve_one_guest(FastAPI(lifespan=lifespan))
    async with watcher.connect() as connection:
        print("server stopped, disposed:", await connection.scalar(BACKENDS))
        #> server stopped, disposed: 0


asyncio.run(main())
