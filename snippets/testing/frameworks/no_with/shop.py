"""An application with one engine, made on import; lifespan disposes of it.

应用只有一个引擎，导入时建好，lifespan 里 dispose。
"""

import os
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

from fastapi import FastAPI
from sqlalchemy import text
from sqlalchemy.ext.asyncio import create_async_engine

engine = create_async_engine(os.environ["DATABASE_URL"])


@asynccontextmanager
async def lifespan(app: FastAPI) -> AsyncIterator[None]:
    yield
    await engine.dispose()


app = FastAPI(lifespan=lifespan)


@app.get("/")
async def pour() -> str:
    async with engine.connect() as connection:
        return str(await connection.scalar(text("SELECT 'longjing'")))
