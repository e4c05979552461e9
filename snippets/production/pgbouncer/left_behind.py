"""NullPool with unique names leaves statements behind, at each transaction.

NullPool 加随机名字，每个事务都留下预处理语句。
"""

import asyncio
import os
from typing import Any
from uuid import uuid4

from sqlalchemy import text
from sqlalchemy.ext.asyncio import create_async_engine
from sqlalchemy.pool import NullPool

URL = os.environ["DATABASE_URL"]
CURE = {"statement_cache_size": 0, "prepared_statement_cache_size": 0}
UNIQUE = {"prepared_statement_name_func": lambda: f"__asyncpg_{uuid4()}__"}
LEFT = text("SELECT count(*) FROM pg_prepared_statements")


async def left_after(transactions: int, **settings: Any) -> int | None:
    engine = create_async_engine(URL, **settings)
    for _ in range(transactions):
        async with engine.begin() as connection:
            await connection.scalar(text("SELECT 'longjing'"))
    await engine.dispose()
    watcher = create_async_engine(URL, connect_args=CURE)
    async with watcher.connect() as connection:
        left: int | None = await connection.scalar(LEFT)
    await watcher.dispose()
    return left


async def main() -> None:
    print(await left_after(100, connect_args=CURE))
    #> 0
    for _ in range(2):
        print(await left_after(100, connect_args=UNIQUE, poolclass=NullPool))
        #> 104
        #> 208


asyncio.run(main())
