"""A session fixture on a loop that each test has anew is a ScopeMismatch.

会话级夹具要用每个测试才新建的循环，pytest 拒绝：ScopeMismatch。
"""

import os
from collections.abc import AsyncIterator

import pytest_asyncio
from sqlalchemy import text
from sqlalchemy.ext.asyncio import AsyncEngine, create_async_engine


@pytest_asyncio.fixture(scope="session")
async def engine() -> AsyncIterator[AsyncEngine]:
    made = create_async_engine(os.environ["DATABASE_URL"])
    yield made
    await made.dispose()


async def test_first(engine: AsyncEngine) -> None:
    async with engine.connect() as connection:
        assert await connection.scalar(text("SELECT 1")) == 1


#> ERROR test_tea.py::test_first - Failed: ScopeMismatch: You tried to access the function scoped fixture _function_scoped_runner with a session scoped request object. Requesting fixture stack:
#> 1 error
