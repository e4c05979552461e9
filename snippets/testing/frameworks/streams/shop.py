"""A stream that asks the database for each of its lines.

一个流：每一行都查一次数据库。
"""

import os
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Annotated

from fastapi import Depends, FastAPI
from fastapi.responses import StreamingResponse
from sqlalchemy import text
from sqlalchemy.ext.asyncio import AsyncSession, create_async_engine

engine = create_async_engine(os.environ["DATABASE_URL"])


@asynccontextmanager
async def lifespan(app: FastAPI) -> AsyncIterator[None]:
    yield
    await engine.dispose()


async def get_session() -> AsyncIterator[AsyncSession]:
    async with AsyncSession(engine) as session:
        yield session


app = FastAPI(lifespan=lifespan)


@app.get("/cups/{number}")
async def pour(
    number: int, session: Annotated[AsyncSession, Depends(get_session)]
) -> StreamingResponse:
    async def cups() -> AsyncIterator[str]:
        for cup in range(number):
            await session.execute(text("SELECT 'longjing'"))
            yield f"cup {cup}\n"

    return StreamingResponse(cups())
