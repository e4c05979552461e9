"""A fixture that ends the shop's connections at the server, as a restart does.

夹具在服务端断开应用的连接，效果和数据库重启一样。
"""

import os
from collections.abc import AsyncIterator, Awaitable, Callable
from secrets import token_hex

import pytest_asyncio
from sqlalchemy import NullPool, text
from sqlalchemy.ext.asyncio import create_async_engine

import shop

URL, NAME = os.environ["DATABASE_URL"], f"guide_shop_{token_hex(4)}"
END = text(
    "SELECT pg_terminate_backend(pid, 10000)"
    " FROM pg_stat_activity WHERE application_name = :name"
)


@pytest_asyncio.fixture
async def kill() -> AsyncIterator[Callable[[], Awaitable[int]]]:
    named = {"server_settings": {"application_name": NAME}}
    shop.async_session.configure(
        bind=(engine := shop.make_engine(URL, connect_args=named))
    )
    killer = create_async_engine(URL, poolclass=NullPool)

    async def kill() -> int:
        async with killer.connect() as connection:
            ended = await connection.execute(END, {"name": NAME})
            return len(ended.all())

    yield kill
    await engine.dispose()
