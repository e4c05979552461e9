"""No answer within the limit: the shop apologizes with 503.

时限内没有响应，应用返回 503。
"""

from typing import Any

from fastapi import FastAPI, Request, Response
from sqlalchemy import URL, text
from sqlalchemy.ext.asyncio import (
    AsyncEngine,
    async_sessionmaker,
    create_async_engine,
)

LIMITS: dict[str, Any] = {"timeout": 2, "command_timeout": 1}
async_session = async_sessionmaker()
app = FastAPI()


def make_engine(url: URL) -> AsyncEngine:
    return create_async_engine(url, connect_args=LIMITS)


@app.get("/price")
async def price() -> int:
    async with async_session() as session:
        return int(await session.scalar(text("SELECT 7")) or 0)


@app.exception_handler(TimeoutError)
async def too_slow(request: Request, error: TimeoutError) -> Response:
    return Response(status_code=503, headers={"Retry-After": "1"})
