"""An engine made in the dependency leaves a backend behind for every request.

在依赖里建引擎，每个请求都会留下一个服务端进程。
"""

import asyncio
import gc
import os
import socket
from collections.abc import AsyncIterator
from typing import Annotated

import httpx
import uvicorn
from fastapi import Depends, FastAPI
from sqlalchemy import NullPool, text
from sqlalchemy.ext.asyncio import AsyncSession, create_async_engine

URL = os.environ["DATABASE_URL"]
NAME = {"server_settings": {"application_name": "teahouse"}}
BACKENDS = text("""
    SELECT count(*) FROM pg_stat_activity
    WHERE datname = current_database() AND application_name = 'teahouse'
""")
watcher = create_async_engine(URL, poolclass=NullPool)
app = FastAPI()


async def get_session() -> AsyncIterator[AsyncSession]:
    engine = create_async_engine(URL, connect_args=NAME)
    async with AsyncSession(engine) as session:
        yield session


@app.get("/")
async def pour(session: Annotated[AsyncSession, Depends(get_session)]) -> None:
    await session.execute(text("SELECT 'longjing'"))


async def main() -> None:
    gc.disable()  # it would end them, sooner or later
    server = uvicorn.Server(uvicorn.Config(app, log_level="critical"))
    listener = socket.create_server(("127.0.0.1", 0))
    serving = asyncio.create_task(server.serve(sockets=[listener]))
    url = f"http://127.0.0.1:{listener.getsockname()[1]}"
    async with httpx.AsyncClient(base_url=url, trust_env=False) as client:
        for _ in range(20):
            await client.get("/")
    server.should_exit = True
    await serving
    async with watcher.connect() as connection:
        print("backends after 20 requests:", await connection.scalar(BACKENDS))
        #> backends after 20 requests: 20
    gc.collect()


asyncio.run(main())
