"""An application to start from; importing it opens no connection.

一个可以直接拿来改的应用；导入它不会建立任何连接。
"""

import asyncio
import os
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from datetime import datetime
from typing import Annotated

from fastapi import Depends, FastAPI
from sqlalchemy import func, select
from sqlalchemy.ext.asyncio import (
    AsyncSession,
    async_sessionmaker,
    create_async_engine,
)

SETTINGS = {"application_name": "my-service", "statement_timeout": "30s"}
engine = create_async_engine(
    os.environ["DATABASE_URL"],
    pool_pre_ping=True,
    pool_timeout=5,
    connect_args={"timeout": 5, "server_settings": SETTINGS},
)
async_session = async_sessionmaker(engine, expire_on_commit=False)


@asynccontextmanager
async def lifespan(app: FastAPI) -> AsyncIterator[None]:
    try:
        yield
    finally:
        async with asyncio.timeout(5):
            await engine.dispose()


async def get_session() -> AsyncIterator[AsyncSession]:
    async with async_session() as session:
        yield session


app = FastAPI(lifespan=lifespan)
Session = Annotated[AsyncSession, Depends(get_session)]


@app.get("/now")
async def now(session: Session) -> datetime:
    found = (await session.scalars(select(func.now()))).one()
    await session.commit()
    return found


if __name__ == "__main__":
    print(engine.pool.status())
    #> Pool size: 5  Connections in pool: 0 Current Overflow: -5 Current Checked out connections: 0
