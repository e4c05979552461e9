"""A background task that uses a closed session takes a connection for good.

后台任务还用已经关闭的会话，借走的连接就不会归还。
"""

import asyncio
import os
import socket
from collections.abc import AsyncIterator
from typing import Annotated

import httpx
import uvicorn
from fastapi import BackgroundTasks, Depends, FastAPI
from sqlalchemy import text
from sqlalchemy.ext.asyncio import AsyncSession, create_async_engine

engine = create_async_engine(os.environ["DATABASE_URL"])
kept: list[AsyncSession] = []  # from the garbage collector
app = FastAPI()


async def get_session() -> AsyncIterator[AsyncSession]:
    async with AsyncSession(engine) as session:
        yield session


Session = Annotated[AsyncSession, Depends(get_session, scope="function")]


@app.get("/")
async def pour(session: Session, background: BackgroundTasks) -> None:
    await session.execute(text("SELECT 'longjing'"))
    background.add_task(note, session)


async def note(session: AsyncSession) -> None:
    print("background task:", engine.pool.status())
    #> background task: Pool size: 5  Connections in pool: 1 Current Overflow: -4 Current Checked out connections: 0
    await session.execute(text("SELECT 'noted'"))
    kept.append(session)


async def main() -> None:
    server = uvicorn.Server(uvicorn.Config(app, log_level="critical"))
    listener = socket.create_server(("127.0.0.1", 0))
    serving = asyncio.create_task(server.serve(sockets=[listener]))
    url = f"http://127.0.0.1:{listener.getsockname()[1]}"
    await asyncio.to_thread(httpx.get, url, trust_env=False)
    server.should_exit = True
    await serving
    print("request over:", engine.pool.status())
    #> request over: Pool size: 5  Connections in pool: 0 Current Overflow: -4 Current Checked out connections: 1
    await kept.pop().close()
    await engine.dispose()


asyncio.run(main())
