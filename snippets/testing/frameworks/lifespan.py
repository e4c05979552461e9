"""ASGITransport runs no lifespan: what it makes is missing until it is entered.

ASGITransport 不跑 lifespan：自己进入之前，它该建的东西都没有。
"""

import asyncio
import os
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

from fastapi import FastAPI
from httpx import ASGITransport, AsyncClient
from sqlalchemy import text
from sqlalchemy.ext.asyncio import create_async_engine


@asynccontextmanager
async def lifespan(app: FastAPI) -> AsyncIterator[None]:
    app.state.engine = create_async_engine(os.environ["DATABASE_URL"])
    yield
    await app.state.engine.dispose()


app = FastAPI(lifespan=lifespan)


@app.get("/")
async def pour() -> str:
    async with app.state.engine.connect() as connection:
        return str(await connection.scalar(text("SELECT 'longjing'")))


async def main() -> None:
    async with AsyncClient(
        transport=ASGITransport(app), base_url="http://shop"
    ) as client:
        try:
            await client.get("/")
        except AttributeError as error:
            print("no lifespan:", error)
            #> no lifespan: 'State' object has no attribute 'engine'
        async with app.router.lifespan_context(app):
            print("entered:", (await client.get("/")).json())
            #> entered: longjing
            print("pooled:", app.state.engine.pool.checkedin())
            #> pooled: 1
        print("left, pooled:", app.state.engine.pool.checkedin())
        #> left, pooled: 0


asyncio.run(main())
