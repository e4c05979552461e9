"""Alive without the database, ready with it, and the counters of the pool.

存活不看数据库，就绪才看；另有连接池的计数。
"""

import asyncio

from fastapi import APIRouter, HTTPException, Request, Response
from prometheus_client import CONTENT_TYPE_LATEST, generate_latest
from sqlalchemy import select
from sqlalchemy.exc import SQLAlchemyError

router = APIRouter()


@router.get("/livez")
async def alive() -> str:
    return "alive"


@router.get("/readyz")
async def ready(request: Request) -> str:
    try:
        async with asyncio.timeout(2):
            async with request.app.state.engine.connect() as connection:
                await connection.scalar(select(1))
    except (SQLAlchemyError, OSError) as error:
        raise HTTPException(503, type(error).__name__) from error
    return "ready"


@router.get("/metrics")
async def metrics() -> Response:
    return Response(generate_latest(), media_type=CONTENT_TYPE_LATEST)
