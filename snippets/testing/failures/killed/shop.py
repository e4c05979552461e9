"""The options of the engine stand in one place, for the application and tests.

引擎的参数只写在一处，应用和测试都用它。
"""

from typing import Any

from sqlalchemy import text
from sqlalchemy.ext.asyncio import (
    AsyncEngine,
    async_sessionmaker,
    create_async_engine,
)

async_session = async_sessionmaker()


def make_engine(url: str, **options: Any) -> AsyncEngine:
    return create_async_engine(url, pool_pre_ping=True, **options)


async def price() -> int:
    async with async_session() as session:
        return int(await session.scalar(text("SELECT 7")) or 0)
