"""Starlette: the endpoint opens and closes its session, lifespan the engine.

Starlette：会话由接口打开和关闭，lifespan 释放引擎。
"""

import asyncio
import os
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

import httpx
from sqlalchemy import NullPool, text
from sqlalchemy.ext.asyncio import AsyncSession, create_async_engine
from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import JSONResponse
from starlette.routing import Route

URL, NAME = os.environ["DATABASE_URL"], f"guide_{os.urandom(4).hex()}"
OPTIONS = {"server_settings": {"application_name": NAME}}
BACKENDS = "SELECT count(*) FROM pg_stat_activity WHERE application_name"
CUPS = text("SELECT 12 / CAST(:guests AS integer)")
engine = create_async_engine(URL, connect_args=OPTIONS)
watcher = create_async_engine(URL, poolclass=NullPool)


@asynccontextmanager
async def lifespan(app: Starlette) -> AsyncIterator[None]:
    yield
    await engine.dispose()


async def pour(request: Request) -> JSONResponse:
    async with AsyncSession(engine) as session:
        cups = await session.scalar(CUPS, request.path_params)
    return JSONResponse(cups)


app = Starlette(lifespan=lifespan, routes=[Route("/{guests:int}", pour)])
transport = httpx.ASGITransport(app, raise_app_exceptions=False)
client = httpx.AsyncClient(transport=transport, base_url="http://tea")


async def look() -> str:
    async with watcher.connect() as connection:
        backends = await connection.scalar(text(f"{BACKENDS} = '{NAME}'"))
    return f"lent {engine.pool.status().split()[-1]}, backends {backends}"


async def main() -> None:
    async with app.router.lifespan_context(app):
        for path in ("/4", "/0"):
            answer = await client.get(path)
            print(path, answer.status_code, await look())
            #> /4 200 lent 0, backends 1
            #> /0 500 lent 0, backends 1
    print("after shutdown:", await look())
    #> after shutdown: lent 0, backends 0


asyncio.run(main())
