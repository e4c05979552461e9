"""The tests' pool lends one connection, and nobody waits for a second.

测试用的连接池只借出一个连接，第二个不等，直接报错。
"""

import os
from collections.abc import AsyncIterator

import pytest_asyncio
from sqlalchemy.ext.asyncio import create_async_engine

from shop import async_session


@pytest_asyncio.fixture(autouse=True)
async def one_slot() -> AsyncIterator[None]:
    engine = create_async_engine(
        os.environ["DATABASE_URL"],
        pool_size=1,
        max_overflow=0,
        pool_timeout=0,
    )
    async_session.configure(bind=engine)
    yield
    await engine.dispose()
