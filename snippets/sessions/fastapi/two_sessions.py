"""Depends twice is one session; with another scope it is two, on two backends.

Depends 写两次，会话还是一个；scope 不同就是两个，各占一个服务端进程。
"""

import asyncio
import os
import socket
from collections.abc import AsyncIterator
from typing import Annotated

import httpx
import uvicorn
from fastapi import Depends, FastAPI
from sqlalchemy import text
from sqlalchemy.ext.asyncio import AsyncSession, create_async_engine

engine = create_async_engine(os.environ["DATABASE_URL"])
app = FastAPI()


async def get_session() -> AsyncIterator[AsyncSession]:
    async with AsyncSession(engine) as session:
        yield session


Session = Annotated[AsyncSession, Depends(get_session)]
Short = Annotated[AsyncSession, Depends(get_session, scope="function")]


async def backends(*sessions: AsyncSession) -> int:
    pid = text("SELECT pg_backend_pid()")
    return len({await session.scalar(pid) for session in sessions})


@app.get("/same")
async def same(one: Session, two: Session) -> int:
    return await backends(one, two)


@app.get("/scope")
async def scope(one: Session, two: Short) -> int:
    return await backends(one, two)


async def main() -> None:
    server = uvicorn.Server(uvicorn.Config(app, log_level="critical"))
    listener = socket.create_server(("127.0.0.1", 0))
    serving = asyncio.create_task(server.serve(sockets=[listener]))
    url = f"http://127.0.0.1:{listener.getsockname()[1]}"
    async with httpx.AsyncClient(base_url=url, trust_env=False) as client:
        for path in ("/same", "/scope"):
            print(path, (await client.get(path)).json())
            #> /same 1
            #> /scope 2
    server.should_exit = True
    await serving
    await engine.dispose()


asyncio.run(main())
