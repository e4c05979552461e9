"""A middleware commits what a request wrote before it was rejected.

请求已经被拒绝，它写的数据还是被中间件提交了。
"""

import asyncio
import os
import socket
from secrets import token_hex

import httpx
import uvicorn
from fastapi import FastAPI, HTTPException, Request, Response
from sqlalchemy import text
from sqlalchemy.ext.asyncio import async_sessionmaker, create_async_engine
from starlette.middleware.base import RequestResponseEndpoint

ORDERS = f"guide_orders_{token_hex(4)}"
engine = create_async_engine(os.environ["DATABASE_URL"])
async_session = async_sessionmaker(engine)
app = FastAPI()


@app.middleware("http")
async def session_for_all(
    request: Request, call_next: RequestResponseEndpoint
) -> Response:
    async with async_session.begin() as session:
        request.state.session = session
        return await call_next(request)


@app.post("/")
async def order(request: Request) -> None:
    insert = text(f"INSERT INTO {ORDERS} VALUES ('oolong')")
    await request.state.session.execute(insert)
    raise HTTPException(409, "out of oolong")


async def main() -> None:
    async with engine.begin() as connection:
        await connection.execute(text(f"CREATE TABLE {ORDERS} (drink text)"))
    server = uvicorn.Server(uvicorn.Config(app, log_level="critical"))
    listener = socket.create_server(("127.0.0.1", 0))
    serving = asyncio.create_task(server.serve(sockets=[listener]))
    url = f"http://127.0.0.1:{listener.getsockname()[1]}"
    response = await asyncio.to_thread(httpx.post, url, trust_env=False)
    print(response.status_code, response.json())
    #> 409 {'detail': 'out of oolong'}
    server.should_exit = True
    await serving
    async with engine.begin() as connection:
        drinks = await connection.scalars(text(f"SELECT drink FROM {ORDERS}"))
        print(drinks.all())
        #> ['oolong']
        await connection.execute(text(f"DROP TABLE {ORDERS}"))
    await engine.dispose()


asyncio.run(main())
