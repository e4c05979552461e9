"""When the pool is full, the shop says so, and when to come again.

连接池满了，应用要明确告知，并给出多久后重试。
"""

import os

from fastapi import FastAPI, Request, Response
from sqlalchemy import text
from sqlalchemy.exc import TimeoutError as PoolTimeoutError
from sqlalchemy.ext.asyncio import AsyncSession, create_async_engine

SIZE, OVERFLOW = 2, 1
engine = create_async_engine(
    os.environ["DATABASE_URL"],
    pool_size=SIZE,
    max_overflow=OVERFLOW,
    pool_timeout=0.1,
)
app = FastAPI()


@app.get("/price")
async def price() -> int:
    async with AsyncSession(engine) as session:
        return int(await session.scalar(text("SELECT 7")) or 0)


@app.exception_handler(PoolTimeoutError)
async def too_busy(request: Request, error: PoolTimeoutError) -> Response:
    return Response(status_code=503, headers={"Retry-After": "1"})
