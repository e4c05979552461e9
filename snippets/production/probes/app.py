"""Liveness returns at once; readiness asks the database, with a limit.

存活探针直接返回；就绪探针查数据库，有时限。
"""

import asyncio
import logging
import os
import socket

import httpx
from fastapi import FastAPI, Response
from sqlalchemy import NullPool, make_url, text
from sqlalchemy.ext.asyncio import create_async_engine

URL = make_url(os.environ["DATABASE_URL"])
LIMIT = 2  # seconds; twice as much is less than the timeout of the probe
OPTIONS = {
    "poolclass": NullPool,
    "isolation_level": "AUTOCOMMIT",  # so no ROLLBACK
    "connect_args": {"command_timeout": LIMIT},  # of closing too
}
app = FastAPI()
probing = create_async_engine(URL, **OPTIONS)


@app.get("/live")
async def live() -> str:
    return "alive"


@app.get("/ready")
async def ready(response: Response) -> str:
    try:
        async with asyncio.timeout(LIMIT), probing.connect() as connection:
            await connection.execute(text("SELECT 1"))
    except Exception as error:  # the driver's, SQLAlchemy's, OSError
        logging.warning("not ready: %r", error)
        response.status_code = 503
        return "not ready"
    return "ready"


async def main() -> None:
    global probing
    probe = httpx.AsyncClient(transport=httpx.ASGITransport(app))
    with socket.create_server(("127.0.0.1", 0)) as dead:  # and nobody accepts
        nowhere = URL.set(host="127.0.0.1", port=dead.getsockname()[1])
        for database, url in ("answers", URL), ("says nothing", nowhere):
            probing = create_async_engine(url, **OPTIONS)
            live = (await probe.get("http://shop/live")).status_code
            ready = (await probe.get("http://shop/ready")).status_code
            print(f"the database {database}: /live {live}, /ready {ready}")
            #> the database answers: /live 200, /ready 200
            #> the database says nothing: /live 200, /ready 503


if __name__ == "__main__":
    logging.disable()
    asyncio.run(main())
