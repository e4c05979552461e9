"""A Starlette application that keeps its session factory in the lifespan state.

一个 Starlette 应用：会话工厂放在 lifespan 的 state 里。
"""

import os
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import TypedDict

from sqlalchemy import text
from sqlalchemy.ext.asyncio import (
    AsyncSession,
    async_sessionmaker,
    create_async_engine,
)
from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import JSONResponse
from starlette.routing import Route


class State(TypedDict):
    sessions: async_sessionmaker[AsyncSession]


@asynccontextmanager
async def lifespan(app: Starlette) -> AsyncIterator[State]:
    engine = create_async_engine(os.environ["DATABASE_URL"])
    yield {"sessions": async_sessionmaker(engine)}
    await engine.dispose()


async def backend(request: Request) -> JSONResponse:
    async with request.state.sessions() as session:
        pid = await session.scalar(text("SELECT pg_backend_pid()"))
        return JSONResponse(pid)


app = Starlette(lifespan=lifespan, routes=[Route("/", backend)])
