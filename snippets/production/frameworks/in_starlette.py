"""Starlette: the endpoint opens and closes its session, lifespan the engine.

Starlette：会话由接口打开和关闭，lifespan 释放引擎。
"""

import asyncio
import os
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

import httpx
from sqlalchemy import QueuePool, text
from sqlalchemy.ext.asyncio import async_sessionmaker, create_async_engine
from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import JSONResponse
from starlette.routing import Route

URL, NAME = os.environ["DATABASE_URL"], f"guide_{os.urandom(4).hex()}"
OPTIONS = {"server_settings": {"application_name": NAME}}
BACKENDS = text(
    f"SELECT count(*) FROM pg_stat_activity WHERE application_name = '{NAME}'"
)
CUPS = text("SELECT 12 / CAST(:guests AS integer)")
engine = create_async_engine(URL, connect_args=OPTIONS)
async_session = async_sessionmaker(engine)
watcher = create_async_engine(URL, isolation_level="AUTOCOMMIT")


@asynccontextmanager
async def lifespan(app: Starlette) -> AsyncIterator[None]:
    yield
    await engine.dispose()


async def pour(request: Request) -> JSONResponse:
    async with async_session() as session:
        cups = await session.scalar(CUPS, request.path_params)
    return JSONResponse(cups)


app = Starlette(lifespan=lifespan, routes=[Route("/{guests:int}", pour)])


async def main() -> None:
    transport = httpx.ASGITransport(app, raise_app_exceptions=False)
    client = httpx.AsyncClient(transport=transport, base_url="http://tea")
    async with client, watcher.connect() as postgresql:
        async with app.router.lifespan_context(app):
            for path in ("/4", "/0"):
                status = (await client.get(path)).status_code
                assert isinstance(engine.pool, QueuePool)
                print(path, status, "lent:", engine.pool.checkedout())
                #> /4 200 lent: 0
                #> /0 500 lent: 0
            print("backends:", await postgresql.scalar(BACKENDS))
            #> backends: 1
        print("after shutdown:", await postgresql.scalar(BACKENDS))
        #> after shutdown: 0
    await watcher.dispose()


asyncio.run(main())
