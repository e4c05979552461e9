"""A client leaves in mid-answer: what was said is saved in a shielded scope.

客户端听到一半就断开：在挡住取消的作用域里，已经说出的内容才存得下来。
"""

import asyncio
import os
import socket
from collections.abc import AsyncIterator
from secrets import token_hex

import anyio
import httpx
import uvicorn
from fastapi import FastAPI
from fastapi.responses import StreamingResponse
from sqlalchemy import text
from sqlalchemy.ext.asyncio import AsyncSession, create_async_engine

ANSWERS = f"guide_answers_{token_hex(4)}"
SAVE = text(f"INSERT INTO {ANSWERS} VALUES (:said)")
engine = create_async_engine(os.environ["DATABASE_URL"])
app = FastAPI()


async def words(how: str) -> AsyncIterator[str]:
    try:
        yield "longjing"
        await asyncio.Event().wait()  # for the next word
    finally:
        with anyio.move_on_after(5, shield=how == "shielded"):
            async with AsyncSession(engine) as session, session.begin():
                await session.execute(SAVE, {"said": f"{how}: longjing"})


@app.get("/{how}")
async def answer(how: str) -> StreamingResponse:
    return StreamingResponse(words(how))


async def main() -> None:
    async with engine.begin() as connection:
        await connection.execute(text(f"CREATE TABLE {ANSWERS} (said text)"))
    server = uvicorn.Server(uvicorn.Config(app, log_level="critical"))
    listener = socket.create_server(("127.0.0.1", 0))
    serving = asyncio.create_task(server.serve(sockets=[listener]))
    url = f"http://127.0.0.1:{listener.getsockname()[1]}"
    async with httpx.AsyncClient(trust_env=False) as client:
        for how in ("plain", "shielded"):
            async with client.stream("GET", f"{url}/{how}") as reply:
                await anext(reply.aiter_text())
    server.should_exit = True
    await serving
    async with engine.begin() as connection:
        print("saved:", *await connection.scalars(text(f"TABLE {ANSWERS}")))
        #> saved: shielded: longjing
        await connection.execute(text(f"DROP TABLE {ANSWERS}"))
    await engine.dispose()


asyncio.run(main())
