"""A test that asks for `line` has the shop's engine connect through the proxy.

测试用到 line，应用的引擎就经过代理连接数据库。
"""

import asyncio
from collections.abc import AsyncIterator
from secrets import token_hex

import pytest_asyncio
from sqlalchemy import text
from sqlalchemy.ext.asyncio import create_async_engine

from line import Line
from shop import Base, async_session

SCHEMA = f"guide_tests_{token_hex(4)}"


@pytest_asyncio.fixture
async def line() -> AsyncIterator[Line]:
    line = Line()
    listener = await asyncio.start_server(line.admit, "127.0.0.1", 0)
    host, port = listener.sockets[0].getsockname()
    url = line.server.set(host=host, port=port, query={})
    engine = create_async_engine(
        url,
        connect_args={"ssl": False},
        execution_options={"schema_translate_map": {None: SCHEMA}},
    )
    async_session.configure(bind=engine)
    async with engine.begin() as connection:
        await connection.execute(text(f"CREATE SCHEMA {SCHEMA}"))
        await connection.run_sync(Base.metadata.create_all)
    yield line
    async with engine.begin() as connection:
        await connection.execute(text(f"DROP SCHEMA {SCHEMA} CASCADE"))
    await engine.dispose()
    listener.close()
