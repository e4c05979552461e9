"""SQLModel adds exec() to the session; engine and pool are SQLAlchemy's own.

SQLModel 只给会话加了 exec()；引擎和连接池还是 SQLAlchemy 的。
"""

import asyncio
import os
from collections.abc import AsyncIterator
from typing import Annotated

import httpx
from fastapi import Depends, FastAPI
from sqlalchemy import QueuePool
from sqlalchemy.ext.asyncio import async_sessionmaker, create_async_engine
from sqlmodel import Field, SQLModel, select
from sqlmodel.ext.asyncio.session import AsyncSession

URL, NAME = os.environ["DATABASE_URL"], f"guide_{os.urandom(4).hex()}"
OPTIONS = {"server_settings": {"application_name": NAME}}
engine = create_async_engine(URL, connect_args=OPTIONS)
async_session = async_sessionmaker(engine, class_=AsyncSession)
app = FastAPI()


class Backend(SQLModel, table=True):
    __tablename__ = "pg_stat_activity"
    pid: int = Field(primary_key=True)
    application_name: str
    state: str


async def get_session() -> AsyncIterator[AsyncSession]:
    async with async_session() as session:
        yield session


Session = Annotated[AsyncSession, Depends(get_session)]


@app.get("/")
async def backends(session: Session) -> list[str]:
    ours = select(Backend).where(Backend.application_name == NAME)
    return [backend.state for backend in await session.exec(ours)]


async def main() -> None:
    client = httpx.AsyncClient(transport=httpx.ASGITransport(app))
    for _ in range(2):
        states = (await client.get("http://tea/")).json()
        assert isinstance(engine.pool, QueuePool)
        print("during:", states, "lent after:", engine.pool.checkedout())
        #> during: ['active'] lent after: 0
        #> during: ['active'] lent after: 0
    await engine.dispose()


asyncio.run(main())
