"""A commit after yield fails too late: the client already has its 200.

yield 之后的 commit 失败时已经晚了：客户端拿到的是 200。
"""

import asyncio
import os
import socket
from collections.abc import AsyncIterator
from secrets import token_hex
from typing import Annotated

import httpx
import uvicorn
from fastapi import Depends, FastAPI
from sqlalchemy import text
from sqlalchemy.ext.asyncio import AsyncSession, create_async_engine

engine = create_async_engine(os.environ["DATABASE_URL"])
ORDERS = f"guide_orders_{token_hex(4)}"
DEFERRED = "(drink text UNIQUE DEFERRABLE INITIALLY DEFERRED)"
TWICE = text(f"INSERT INTO {ORDERS} VALUES ('pu-erh'), ('pu-erh')")
app = FastAPI()


async def get_session() -> AsyncIterator[AsyncSession]:
    async with AsyncSession(engine) as session:
        yield session
        await session.commit()


@app.post("/orders")
async def order(
    session: Annotated[AsyncSession, Depends(get_session)], commit_here: bool
) -> None:
    await session.execute(TWICE)
    if commit_here:
        await session.commit()


async def main() -> None:
    async with engine.begin() as connection:
        await connection.execute(text(f"CREATE TABLE {ORDERS} {DEFERRED}"))
    server = uvicorn.Server(uvicorn.Config(app, log_level="critical"))
    listener = socket.create_server(("127.0.0.1", 0))
    serving = asyncio.create_task(server.serve(sockets=[listener]))
    url = f"http://127.0.0.1:{listener.getsockname()[1]}"
    for query in ("?commit_here=false", "?commit_here=true"):
        async with httpx.AsyncClient(base_url=url, trust_env=False) as client:
            print(query, (await client.post(f"/orders{query}")).status_code)
            #> ?commit_here=false 200
            #> ?commit_here=true 500
    server.should_exit = True
    await serving
    async with engine.begin() as connection:
        rows = await connection.scalar(text(f"SELECT count(*) FROM {ORDERS}"))
        print("rows:", rows)
        #> rows: 0
        await connection.execute(text(f"DROP TABLE {ORDERS}"))
    await engine.dispose()


asyncio.run(main())
