"""An application behind a real uvicorn, or asked without a server."""

import asyncio
import socket
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any

import httpx
import uvicorn
from fastapi import FastAPI

from tests.waiting import DEADLINE


@asynccontextmanager
async def running(app: FastAPI) -> AsyncIterator[tuple[uvicorn.Server, str]]:
    """A server and its address; afterwards it has stopped and its requests have ended."""
    server = uvicorn.Server(uvicorn.Config(app, log_level="critical"))
    listener = socket.create_server(("127.0.0.1", 0))
    serving = asyncio.create_task(server.serve(sockets=[listener]))
    try:
        yield server, f"http://127.0.0.1:{listener.getsockname()[1]}"
    finally:
        server.should_exit = True
        async with asyncio.timeout(DEADLINE):  # a request that does not end is a fault
            await serving


@asynccontextmanager
async def serving(app: FastAPI) -> AsyncIterator[httpx.AsyncClient]:
    """A client of the running application."""
    async with (
        running(app) as (_, url),
        httpx.AsyncClient(
            base_url=url, trust_env=False, timeout=DEADLINE, limits=httpx.Limits()
        ) as client,
    ):
        yield client


def through(app: Any) -> httpx.AsyncClient:
    """A client of an application without a server, in the loop of its caller; no lifespan runs."""
    return httpx.AsyncClient(transport=httpx.ASGITransport(app), base_url="http://shop")
