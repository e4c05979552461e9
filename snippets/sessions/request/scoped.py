"""A scoped session removed in a middleware is not the one the endpoint used.

中间件里 remove() 的 scoped session，不是接口用的那一个。
"""

import asyncio
import os
import socket

import httpx
import uvicorn
from fastapi import FastAPI, Request, Response
from sqlalchemy import text
from sqlalchemy.ext.asyncio import (
    async_scoped_session,
    async_sessionmaker,
    create_async_engine,
)
from starlette.middleware.base import RequestResponseEndpoint

engine = create_async_engine(os.environ["DATABASE_URL"])
session = async_scoped_session(
    async_sessionmaker(engine), scopefunc=asyncio.current_task
)
app = FastAPI()


@app.middleware("http")
async def remove_session(
    request: Request, call_next: RequestResponseEndpoint
) -> Response:
    try:
        return await call_next(request)
    finally:
        await session.remove()


@app.get("/")
async def pour() -> None:
    await session.execute(text("SELECT 'oolong'"))


async def main() -> None:
    server = uvicorn.Server(uvicorn.Config(app, log_level="critical"))
    listener = socket.create_server(("127.0.0.1", 0))
    serving = asyncio.create_task(server.serve(sockets=[listener]))
    url = f"http://127.0.0.1:{listener.getsockname()[1]}"
    async with httpx.AsyncClient(base_url=url, trust_env=False) as client:
        for guest in ("first", "second", "third"):
            await client.get("/")
            print(guest, engine.pool.status())
            #> first Pool size: 5  Connections in pool: 0 Current Overflow: -4 Current Checked out connections: 1
            #> second Pool size: 5  Connections in pool: 0 Current Overflow: -3 Current Checked out connections: 2
            #> third Pool size: 5  Connections in pool: 0 Current Overflow: -2 Current Checked out connections: 3
    server.should_exit = True
    await serving
    for left in session.registry.registry.values():
        await left.close()
    await engine.dispose()


asyncio.run(main())
