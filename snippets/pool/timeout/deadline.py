"""One deadline for a request, and one answer to whichever timeout strikes.

整个请求一个期限，不管哪一种超时，都返回同一个响应。
"""

import asyncio
import os
from collections.abc import AsyncIterator
from typing import Annotated

import httpx
from fastapi import Depends, FastAPI, Request
from fastapi.responses import JSONResponse
from sqlalchemy import exc, text
from sqlalchemy.ext.asyncio import (
    AsyncSession,
    async_sessionmaker,
    create_async_engine,
)

engine = create_async_engine(
    os.environ["DATABASE_URL"], pool_size=1, max_overflow=0, pool_timeout=1
)
async_session = async_sessionmaker(engine)


async def get_session() -> AsyncIterator[AsyncSession]:
    async with asyncio.timeout(2), async_session() as session:
        yield session


async def too_busy(_: Request, error: Exception) -> JSONResponse:
    headers = {"Retry-After": "2"}
    return JSONResponse("The tea house is full.", 503, headers)


TIMEOUTS = (exc.TimeoutError, TimeoutError)
app = FastAPI(exception_handlers=dict.fromkeys(TIMEOUTS, too_busy))


@app.get("/brew")
async def brew(
    session: Annotated[AsyncSession, Depends(get_session)], seconds: int
) -> str:
    query = text("SELECT 'oolong' FROM pg_sleep(:seconds)")
    return str(await session.scalar(query, {"seconds": seconds}))


async def main() -> None:
    transport = httpx.ASGITransport(app)
    async with httpx.AsyncClient(transport=transport) as client:
        url = "http://teahouse/brew?seconds="
        print("served:    ", await client.get(f"{url}0"))
        #> served:     <Response [200 OK]>
        print("slow query:", await client.get(f"{url}60"))
        #> slow query: <Response [503 Service Unavailable]>
        async with engine.connect():
            print("pool lent: ", await client.get(f"{url}0"))
            #> pool lent:  <Response [503 Service Unavailable]>
    await engine.dispose()


asyncio.run(main())
