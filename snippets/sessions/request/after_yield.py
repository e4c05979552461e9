"""The connection comes back last, after the response and the background task.

连接最后才归还：在响应和后台任务之后。
"""

import asyncio
import os
import socket
from collections.abc import AsyncIterator

import httpx
import uvicorn
from fastapi import BackgroundTasks, Depends, FastAPI
from fastapi.responses import StreamingResponse
from sqlalchemy import NullPool, text
from sqlalchemy.ext.asyncio import AsyncSession, create_async_engine

NAME = {"server_settings": {"application_name": "teahouse"}}
STATE = text("""SELECT state FROM pg_stat_activity
    WHERE datname = current_database() AND application_name = 'teahouse'""")
engine = create_async_engine(os.environ["DATABASE_URL"], connect_args=NAME)
watcher = create_async_engine(engine.url, poolclass=NullPool)
app = FastAPI()


async def look(moment: str) -> None:
    async with watcher.connect() as connection:
        print(f"{moment}: {await connection.scalar(STATE)}")
        #> response: idle in transaction
        #> background task: idle in transaction
        #> request over: idle


async def signed_in() -> AsyncIterator[None]:
    async with AsyncSession(engine) as session:
        await session.execute(text("SELECT 'guest'"))
        yield


async def brew() -> AsyncIterator[str]:
    await look("response")
    yield "longjing"


@app.get("/", dependencies=[Depends(signed_in)])
async def pour(background: BackgroundTasks) -> StreamingResponse:
    background.add_task(look, "background task")
    return StreamingResponse(brew())


async def main() -> None:
    server = uvicorn.Server(uvicorn.Config(app, log_level="critical"))
    listener = socket.create_server(("127.0.0.1", 0))
    serving = asyncio.create_task(server.serve(sockets=[listener]))
    url = f"http://127.0.0.1:{listener.getsockname()[1]}"
    await asyncio.to_thread(httpx.get, url, trust_env=False)
    server.should_exit = True
    await serving
    await look("request over")
    await engine.dispose()


asyncio.run(main())
