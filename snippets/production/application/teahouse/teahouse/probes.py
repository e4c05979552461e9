"""Alive without the database, ready with it, and the counters of the pool.

存活不看数据库，就绪才看；另有连接池的计数。
"""

import asyncio
import logging

from fastapi import APIRouter, HTTPException, Request, Response
from prometheus_client import CONTENT_TYPE_LATEST, generate_latest
from sqlalchemy import select

router = APIRouter()


@router.get("/live")
async def alive() -> str:
    return "alive"


@router.get("/ready")
async def ready(request: Request) -> str:
    probing = request.app.state.probing
    try:
        async with asyncio.timeout(2), probing.connect() as connection:
            await connection.scalar(select(1))
    except Exception as error:  # the driver's, SQLAlchemy's, OSError
        logging.getLogger(__name__).warning("not ready: %r", error)
        raise HTTPException(503) from error
    return "ready"


@router.get("/metrics")
async def metrics() -> Response:
    return Response(generate_latest(), media_type=CONTENT_TYPE_LATEST)
