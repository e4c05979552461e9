"""A WebSocket keeps its dependency's connection; a session a message does not.

WebSocket 的会话依赖一直占着连接；每条消息开一个会话，就不占。
"""

import asyncio
import os
from collections.abc import AsyncIterator
from typing import Annotated
from unittest.mock import AsyncMock

from fastapi import Depends, FastAPI, WebSocket, WebSocketDisconnect
from sqlalchemy import text
from sqlalchemy.ext.asyncio import AsyncSession, create_async_engine

engine = create_async_engine(os.environ["DATABASE_URL"])
app = FastAPI()


async def get_session() -> AsyncIterator[AsyncSession]:
    async with AsyncSession(engine) as session:
        yield session


Session = Annotated[AsyncSession, Depends(get_session, scope="function")]


@app.websocket("/one_session")
async def one_session(socket: WebSocket, session: Session) -> None:
    await socket.accept()
    async for drink in socket.iter_text():
        await session.execute(text("SELECT :drink"), {"drink": drink})
        print("one session:", engine.pool.status())
        #> one session: Pool size: 5  Connections in pool: 0 Current Overflow: -4 Current Checked out connections: 1


@app.websocket("/a_session_each")
async def a_session_each(socket: WebSocket) -> None:
    await socket.accept()
    async for drink in socket.iter_text():
        async with AsyncSession(engine) as session:
            await session.execute(text("SELECT :drink"), {"drink": drink})
        print("a session each:", engine.pool.status())
        #> a session each: Pool size: 5  Connections in pool: 1 Current Overflow: -4 Current Checked out connections: 0


async def talk(path: str) -> None:
    order = {"type": "websocket.receive", "text": "oolong"}
    said = [{"type": "websocket.connect"}, order, WebSocketDisconnect()]
    receive = AsyncMock(side_effect=said)
    call = {"path": path, "headers": [], "query_string": b""}
    await app({"type": "websocket", **call}, receive, AsyncMock())


async def main() -> None:
    await talk("/one_session")
    await talk("/a_session_each")
    await engine.dispose()


asyncio.run(main())
