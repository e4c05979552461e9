"""PostgreSQL has one backend for each request that is inside a transaction.

有几个请求正处在事务里，PostgreSQL 就有几个服务端进程。
"""

import asyncio
import os
import socket

import httpx
import uvicorn
from fastapi import FastAPI
from sqlalchemy import text
from sqlalchemy.ext.asyncio import AsyncSession, create_async_engine

URL = os.environ["DATABASE_URL"]
NAME = {"server_settings": {"application_name": "teahouse"}}
STATES = text("""
    SELECT state FROM pg_stat_activity
    WHERE datname = current_database() AND application_name = 'teahouse'
""")
engine = create_async_engine(URL, connect_args=NAME)
watcher = create_async_engine(URL, isolation_level="AUTOCOMMIT")
arrived, served = asyncio.Semaphore(0), asyncio.Event()
app = FastAPI()


@app.get("/")
async def pour() -> None:
    async with AsyncSession(engine) as session:
        await session.execute(text("SELECT 'longjing'"))
        arrived.release()
        await served.wait()


async def main() -> None:
    server = uvicorn.Server(uvicorn.Config(app, log_level="critical"))
    listener = socket.create_server(("127.0.0.1", 0))
    serving = asyncio.create_task(server.serve(sockets=[listener]))
    url = f"http://127.0.0.1:{listener.getsockname()[1]}"
    client = httpx.AsyncClient(base_url=url, trust_env=False)
    async with client, watcher.connect() as postgresql:
        print("before:", (await postgresql.scalars(STATES)).all())
        #> before: []
        async with asyncio.TaskGroup() as guests:
            for number in (1, 2, 3):
                guests.create_task(client.get("/"))
                await arrived.acquire()
                print(number, (await postgresql.scalars(STATES)).all())
                #> 1 ['idle in transaction']
                #> 2 ['idle in transaction', 'idle in transaction']
                #> 3 ['idle in transaction', 'idle in transaction', 'idle in transaction']
            served.set()
        print("answered:", (await postgresql.scalars(STATES)).all())
        #> answered: ['idle', 'idle', 'idle']
    server.should_exit = True
    await serving
    await engine.dispose()
    await watcher.dispose()


asyncio.run(main())
