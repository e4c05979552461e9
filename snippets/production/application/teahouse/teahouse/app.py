"""The application: the engine lives as long as it does.

应用本身：引擎随它建立，随它关闭。
"""

import asyncio
import logging
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

from fastapi import FastAPI, Request
from fastapi.responses import JSONResponse
from sqlalchemy import exc
from sqlalchemy.ext.asyncio import async_sessionmaker

from teahouse import orders, probes
from teahouse.database import make_engine, make_probing_engine
from teahouse.settings import read_settings

LOG = logging.getLogger(__name__)
BUSY = {"08003", "53300", "57014", "57P03"}  # cut, full, too slow, starting


@asynccontextmanager
async def lifespan(app: FastAPI) -> AsyncIterator[None]:
    logging.basicConfig(level=logging.INFO)
    settings = read_settings()
    engine = make_engine(settings)
    app.state.probing = make_probing_engine(settings)
    app.state.sessions = async_sessionmaker(engine, expire_on_commit=False)
    try:
        yield
    finally:
        async with asyncio.timeout(5):  # for a dead network
            await engine.dispose()


def is_transient(error: exc.DBAPIError) -> bool:
    sqlstate = getattr(error.orig, "sqlstate", None)
    return error.connection_invalidated or sqlstate in BUSY


async def unavailable(request: Request, error: Exception) -> JSONResponse:
    if isinstance(error, exc.DBAPIError) and not is_transient(error):
        raise error  # 500
    LOG.warning("%s %s: %r", request.method, request.url.path, error)
    return JSONResponse({"detail": "Try again."}, 503, {"Retry-After": "2"})


app = FastAPI(lifespan=lifespan)
# OSError: refused, and the TimeoutError of asyncio and asyncpg.
for kind in (OSError, exc.TimeoutError, exc.DBAPIError):
    app.add_exception_handler(kind, unavailable)
app.include_router(orders.router)
app.include_router(probes.router)
