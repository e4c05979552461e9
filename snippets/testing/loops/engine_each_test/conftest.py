"""A loop for each test, and the pool emptied in it before it closes.

每个测试一个事件循环，循环关闭之前先在里面清空连接池。
"""

from collections.abc import AsyncIterator

import pytest_asyncio

from shop import get_engine


@pytest_asyncio.fixture(autouse=True)
async def dispose_engine() -> AsyncIterator[None]:
    yield
    await get_engine().dispose()
