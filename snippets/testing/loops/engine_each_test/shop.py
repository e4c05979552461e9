"""The application makes its engine on import and never again.

应用在导入时建引擎，此后不再建。
"""

import os
from functools import lru_cache

from sqlalchemy import text
from sqlalchemy.ext.asyncio import AsyncEngine, create_async_engine


@lru_cache
def get_engine() -> AsyncEngine:
    return create_async_engine(os.environ["DATABASE_URL"])


async def pour(tea: str) -> str:
    async with get_engine().connect() as connection:
        poured = await connection.scalar(text("SELECT :tea"), {"tea": tea})
        return str(poured)
