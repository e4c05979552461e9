"""A stream holds the connection of its sign-in until it ends, unless committed.

流不结束，登录检查借的连接就不归还；先提交，就早还了。
"""

import asyncio
import os
import socket
from collections.abc import AsyncIterator

import httpx
import uvicorn
from fastapi import Depends, FastAPI
from fastapi.responses import StreamingResponse
from sqlalchemy import text
from sqlalchemy.ext.asyncio import AsyncSession, create_async_engine

engine = create_async_engine(
    os.environ["DATABASE_URL"], pool_size=2, max_overflow=0, pool_timeout=0.5
)
app = FastAPI()


async def signed_in(commit: bool) -> AsyncIterator[None]:
    async with AsyncSession(engine) as session:
        await session.execute(text("SELECT 'guest'"))
        if commit:
            await session.commit()
        yield


async def brew() -> AsyncIterator[str]:
    yield "longjing"
    await asyncio.Event().wait()


@app.get("/", dependencies=[Depends(signed_in)])
async def pour() -> StreamingResponse:
    return StreamingResponse(brew())


async def main() -> None:
    server = uvicorn.Server(uvicorn.Config(app, log_level="critical"))
    listener = socket.create_server(("127.0.0.1", 0))
    serving = asyncio.create_task(server.serve(sockets=[listener]))
    url = f"http://127.0.0.1:{listener.getsockname()[1]}"
    async with httpx.AsyncClient(base_url=url, trust_env=False) as client:
        for path in ("/?commit=true", "/?commit=false"):
            streams = [client.stream("GET", path) for _ in range(3)]
            async with streams[0], streams[1], streams[2] as third:
                print(path, "third stream:", third.status_code)
                #> /?commit=true third stream: 200
                #> /?commit=false third stream: 500
    server.should_exit = True
    await serving
    await engine.dispose()


asyncio.run(main())
