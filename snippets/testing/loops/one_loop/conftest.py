"""One loop for all tests: the application's engine is disposed in it at the end.

所有测试共用一个事件循环，最后在这个循环里释放引擎。
"""

from collections.abc import AsyncIterator

import pytest_asyncio

from shop import get_engine


@pytest_asyncio.fixture(scope="session", autouse=True)
async def dispose_engine() -> AsyncIterator[None]:
    yield
    await get_engine().dispose()
