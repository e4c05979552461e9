"""A dependency that only reads holds its connection for the whole request.

只读一次的依赖，会让连接陪着整个请求。
"""

import asyncio
import os
from collections.abc import AsyncIterator
from typing import Annotated

import httpx
from fastapi import Depends, FastAPI
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


async def log_in(session: Session) -> None:
    await session.execute(text("SELECT 'Lu Yu'"))


async def log_in_and_commit(session: Session) -> None:
    await log_in(session)
    await session.commit()


@app.get("/reads", dependencies=[Depends(log_in)])
@app.get("/commits", dependencies=[Depends(log_in_and_commit)])
async def brew() -> str:
    query = """SELECT state FROM pg_stat_activity
        WHERE application_name = 'teahouse'
        AND datname = current_database()"""
    async with watcher.connect() as connection:
        return str(await connection.scalar(text(query)))


async def main() -> None:
    web = httpx.ASGITransport(app)
    async with httpx.AsyncClient(transport=web, base_url="http://t") as client:
        for path in ("/reads", "/commits"):
            print(f"while {path} brews:", (await client.get(path)).json())
            #> while /reads brews: idle in transaction
            #> while /commits brews: idle
    await engine.dispose()


asyncio.run(main())
