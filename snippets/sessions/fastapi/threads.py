"""Sync endpoints can deadlock: threads and connections wait for each other.

同步接口会死锁：线程等连接，连接等线程。
"""

import asyncio
import os
import socket
from collections.abc import AsyncIterator
from typing import Annotated

import httpx
import uvicorn
from anyio import from_thread, to_thread
from fastapi import Depends, FastAPI
from sqlalchemy import text
from sqlalchemy.ext.asyncio import AsyncSession, create_async_engine

engine = create_async_engine(
    os.environ["DATABASE_URL"], pool_size=1, max_overflow=0, pool_timeout=0.5
)
everyone = asyncio.Barrier(3)
app = FastAPI()


async def get_session() -> AsyncIterator[AsyncSession]:
    await everyone.wait()
    async with AsyncSession(engine) as session:
        yield session


Session = Annotated[AsyncSession, Depends(get_session)]


@app.get("/def")
def in_a_thread(session: Session) -> str:
    return str(from_thread.run(session.scalar, text("SELECT 'oolong'")))


@app.get("/async_def")
async def in_the_loop(session: Session) -> str:
    return str(await session.scalar(text("SELECT 'oolong'")))


async def main() -> None:
    to_thread.current_default_thread_limiter().total_tokens = 1  # not 40
    server = uvicorn.Server(uvicorn.Config(app, log_level="critical"))
    listener = socket.create_server(("127.0.0.1", 0))
    serving = asyncio.create_task(server.serve(sockets=[listener]))
    url = f"http://127.0.0.1:{listener.getsockname()[1]}"
    async with httpx.AsyncClient(base_url=url, trust_env=False) as client:
        for path in ("/def", "/async_def"):
            served = await asyncio.gather(*(client.get(path) for _ in range(3)))
            print(path, sorted(reply.status_code for reply in served))
            #> /def [200, 500, 500]
            #> /async_def [200, 200, 200]
    server.should_exit = True
    await serving
    await engine.dispose()


asyncio.run(main())
