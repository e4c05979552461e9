"""A WebSocket that commits each message, and is not done at the disconnect.

一个 WebSocket：每条消息先提交再回复，断开之后还有事要做。
"""

import asyncio
import os
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

from fastapi import FastAPI, WebSocket
from sqlalchemy import text
from sqlalchemy.ext.asyncio import AsyncSession, create_async_engine

engine = create_async_engine(os.environ["DATABASE_URL"])
farewells: list[str] = []


@asynccontextmanager
async def lifespan(app: FastAPI) -> AsyncIterator[None]:
    yield
    await engine.dispose()


app = FastAPI(lifespan=lifespan)


@app.websocket("/orders")
async def orders(socket: WebSocket) -> None:
    await socket.accept()
    async with AsyncSession(engine) as session:
        async for tea in socket.iter_text():
            await session.execute(text("SELECT :tea"), {"tea": tea})
            await session.commit()
            await socket.send_text(f"one {tea}")
        try:
            await asyncio.Event().wait()  # whatever takes time
        except asyncio.CancelledError:
            farewells.append("cancelled")
            raise
