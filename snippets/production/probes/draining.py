"""Drained, then stopped: the running request is answered first.

先摘流量再停机：进行中的请求照样处理完。
"""

import asyncio
import os
import socket

import httpx
import uvicorn
from fastapi import FastAPI, Response
from sqlalchemy import text
from sqlalchemy.ext.asyncio import create_async_engine

engine = create_async_engine(os.environ["DATABASE_URL"])
brewing, brewed = asyncio.Event(), asyncio.Event()
app = FastAPI()
app.state.draining = False


@app.post("/drain")  # for the preStop hook, which then waits
async def drain() -> None:
    app.state.draining = True


@app.get("/ready")
async def ready(response: Response) -> None:
    response.status_code = 503 if app.state.draining else 200


@app.get("/order")
async def order() -> str:
    async with engine.begin() as connection:
        brewing.set()
        await brewed.wait()
        return str(await connection.scalar(text("SELECT 'longjing'")))


async def main() -> None:
    server = uvicorn.Server(uvicorn.Config(app, log_level="critical"))
    listener = socket.create_server(("127.0.0.1", 0))
    serving = asyncio.create_task(server.serve(sockets=[listener]))
    url = f"http://127.0.0.1:{listener.getsockname()[1]}"
    async with httpx.AsyncClient(base_url=url, trust_env=False) as guest:
        ordered = asyncio.create_task(guest.get("/order"))
        await brewing.wait()
        await guest.post("/drain")
        print("draining, /ready:", (await guest.get("/ready")).status_code)
        #> draining, /ready: 503
        server.should_exit = True  # what SIGTERM does
        brewed.set()
        print("the running order:", (await ordered).json())
        #> the running order: longjing
        await serving
    print(engine.pool.status())
    #> Pool size: 5  Connections in pool: 1 Current Overflow: -4 Current Checked out connections: 0
    await engine.dispose()


asyncio.run(main())
