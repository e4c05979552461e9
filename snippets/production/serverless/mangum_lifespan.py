"""Mangum runs lifespan in each invocation: leave it off, and keep the pool.

Mangum 每次调用都跑一遍 lifespan：关掉它，连接池才留得住。
"""

import asyncio
import os
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any

from fastapi import FastAPI
from mangum import Mangum
from sqlalchemy import event, text
from sqlalchemy.ext.asyncio import create_async_engine

HTTP = {"method": "GET", "path": "/", "sourceIp": "127.0.0.1"}
GET: Any = {
    "version": "2.0",
    "rawPath": "/",
    "headers": {},
    "requestContext": {"http": HTTP},
}
context: Any = None
opened: list[object] = []
engine = create_async_engine(os.environ["DATABASE_URL"])
event.listen(engine.sync_engine, "connect", lambda *_: opened.append("one"))


@asynccontextmanager
async def lifespan(app: FastAPI) -> AsyncIterator[None]:
    yield
    await engine.dispose()


app = FastAPI(lifespan=lifespan)


@app.get("/")
async def order() -> str:
    async with engine.connect() as connection:
        return str(await connection.scalar(text("SELECT 'oolong'")))


loop = asyncio.new_event_loop()
asyncio.set_event_loop(loop)  # which Mangum uses for all invocations
for handler in Mangum(app), Mangum(app, lifespan="off"):
    opened.clear()
    for _ in range(20):
        handler(GET, context)
    print(f"lifespan={handler.lifespan}: 20 invocations, opened", len(opened))
    #> lifespan=auto: 20 invocations, opened 20
    #> lifespan=off: 20 invocations, opened 1
loop.run_until_complete(engine.dispose())
loop.close()
