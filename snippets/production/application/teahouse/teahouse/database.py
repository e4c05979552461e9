"""One engine for a process, one session for a request, a limit for each wait.

一个进程一个引擎，一个请求一个会话，每种等待都有时限。
"""

import asyncio
from collections.abc import AsyncIterator
from typing import Annotated

from fastapi import Depends, Request
from sqlalchemy import NullPool
from sqlalchemy.ext.asyncio import (
    AsyncEngine,
    AsyncSession,
    create_async_engine,
)

from teahouse.metrics import WatchedPool
from teahouse.settings import Settings

REQUEST = 8.0  # seconds; each wait below is shorter


def make_engine(settings: Settings) -> AsyncEngine:
    return create_async_engine(
        settings.url,
        poolclass=WatchedPool,
        pool_logging_name=settings.application_name,
        pool_size=settings.pool_size,
        max_overflow=settings.max_overflow,
        pool_pre_ping=True,
        pool_timeout=3,
        connect_args={
            "timeout": 2,  # for connecting
            "command_timeout": 6,  # for a line that is dead
            "server_settings": {
                "application_name": settings.application_name,
                "statement_timeout": "5s",
                "idle_in_transaction_session_timeout": "60s",
            },
        },
    )


def make_probing_engine(settings: Settings) -> AsyncEngine:
    url, name = settings.url, f"{settings.application_name}-probe"
    args = {"server_settings": {"application_name": name}, "command_timeout": 2}
    # No ROLLBACK, and a limit for closing: the server may fall silent there.
    return create_async_engine(
        url, poolclass=NullPool, isolation_level="AUTOCOMMIT", connect_args=args
    )


async def get_session(request: Request) -> AsyncIterator[AsyncSession]:
    sessions = request.app.state.sessions
    async with asyncio.timeout(REQUEST), sessions() as session:
        yield session


Session = Annotated[AsyncSession, Depends(get_session, scope="function")]
