"""Three ways to serve a request: one connection, two at once, two in turn.

处理请求的三种写法：一个连接、同时两个、先后两个。
"""

import os
from collections.abc import AsyncIterator
from typing import Annotated

from fastapi import Depends, FastAPI
from sqlalchemy import text
from sqlalchemy.ext.asyncio import AsyncSession, create_async_engine

engine = create_async_engine(os.environ["DATABASE_URL"])
app = FastAPI()
PRICE = text("SELECT 7")


async def get_session() -> AsyncIterator[AsyncSession]:
    async with AsyncSession(engine) as session:
        yield session


Session = Annotated[AsyncSession, Depends(get_session)]


@app.get("/price")
async def price(session: Session) -> int:
    await session.execute(PRICE)
    return int(await session.scalar(PRICE) or 0)


@app.get("/nested")
async def nested(session: Session) -> int:
    await session.execute(PRICE)
    async with AsyncSession(engine) as another:
        return int(await another.scalar(PRICE) or 0)


@app.get("/in_turn")
async def in_turn(session: Session) -> int:
    await session.execute(PRICE)
    await session.commit()
    return int(await session.scalar(PRICE) or 0)
