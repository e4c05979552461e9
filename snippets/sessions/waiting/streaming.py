"""A stream keeps the session's connection to its end, unless you commit first.

流式响应会把会话的连接占到流结束，除非在流开始之前先提交。
"""

import asyncio
import os
from collections.abc import AsyncIterator
from typing import Annotated

import httpx
from fastapi import Depends, FastAPI
from fastapi.responses import StreamingResponse
from sqlalchemy import NullPool, text
from sqlalchemy.ext.asyncio import AsyncSession, create_async_engine

URL = os.environ["DATABASE_URL"]
NAME = {"server_settings": {"application_name": "teahouse"}}
engine = create_async_engine(URL, connect_args=NAME)
watcher = create_async_engine(URL, poolclass=NullPool)
app = FastAPI()


async def get_session() -> AsyncIterator[AsyncSession]:
    async with AsyncSession(engine) as session:
        yield session


Session = Annotated[AsyncSession, Depends(get_session)]


async def words() -> AsyncIterator[str]:
    query = """SELECT state FROM pg_stat_activity
        WHERE application_name = 'teahouse'
        AND datname = current_database()"""
    async with watcher.connect() as connection:
        for _ in range(2):
            yield f"[{await connection.scalar(text(query))}]"


@app.get("/{path}")
async def answer(path: str, session: Session) -> StreamingResponse:
    await session.execute(text("SELECT 'Lu Yu'"))
    if path == "committed":
        await session.commit()
    return StreamingResponse(words())


async def main() -> None:
    web = httpx.ASGITransport(app)
    async with httpx.AsyncClient(transport=web, base_url="http://t") as client:
        for path in ("pinned", "committed"):
            print(f"{path}:", (await client.get(f"/{path}")).text)
            #> pinned: [idle in transaction][idle in transaction]
            #> committed: [idle][idle]
    await engine.dispose()


asyncio.run(main())
