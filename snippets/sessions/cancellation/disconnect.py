"""A client leaves a streaming response: its slot is free, its query runs on.

流式响应的客户端走了：池里的位置空了出来，查询却还在服务端跑。
"""

import asyncio
import os
import socket
from collections.abc import AsyncIterator
from secrets import token_hex

import httpx
import uvicorn
from fastapi import FastAPI
from fastapi.responses import StreamingResponse
from sqlalchemy import NullPool, text
from sqlalchemy.ext.asyncio import AsyncSession, create_async_engine

URL = os.environ["DATABASE_URL"]
NAME = {"application_name": f"teahouse_{token_hex(4)}"}
engine = create_async_engine(URL, connect_args={"server_settings": NAME})
watcher = create_async_engine(URL, poolclass=NullPool)
app = FastAPI()


@app.get("/")
async def stream() -> StreamingResponse:
    async def drinks() -> AsyncIterator[str]:
        yield "longjing"
        async with AsyncSession(engine) as session:
            yield str(await session.scalar(text("SELECT pg_sleep(60)")))

    return StreamingResponse(drinks())


async def on_the_server(function: str) -> object:
    query = f"""SELECT {function} FROM pg_stat_activity
        WHERE application_name = :application_name AND wait_event = 'PgSleep'"""
    async with watcher.connect() as connection:
        return await connection.scalar(text(query), NAME)


async def main() -> None:
    server = uvicorn.Server(uvicorn.Config(app, log_level="critical"))
    listener = socket.create_server(("127.0.0.1", 0))
    serving = asyncio.create_task(server.serve(sockets=[listener]))
    url = f"http://127.0.0.1:{listener.getsockname()[1]}"
    client = httpx.AsyncClient(trust_env=False)
    async with client, client.stream("GET", url):
        while not await on_the_server("count(*)"):
            pass
    server.should_exit = True
    await serving
    print(engine.pool.status())
    #> Pool size: 5  Connections in pool: 1 Current Overflow: -4 Current Checked out connections: 0
    print("still running:", await on_the_server("count(*)"))
    #> still running: 1
    await on_the_server("pg_terminate_backend(pid)")
    await engine.dispose()


asyncio.run(main())
