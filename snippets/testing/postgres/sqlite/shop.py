"""Three mistakes with sessions and pools, of which SQLite notices none.

和会话、连接池有关的三个错误，SQLite 一个也发现不了。
"""

import asyncio

from sqlalchemy import text
from sqlalchemy.ext.asyncio import AsyncConnection, AsyncEngine

ORDER = text("INSERT INTO orders (tea) VALUES (:tea)")
COUNT = text("SELECT count(*) FROM orders")


async def forget_to_close(engine: AsyncEngine) -> AsyncConnection:
    connection = await engine.connect()
    await connection.execute(COUNT)
    return connection


async def borrow_two(engine: AsyncEngine) -> None:
    async with engine.connect() as connection:
        await connection.execute(COUNT)
        async with engine.connect() as other:
            await other.execute(COUNT)


async def count_before_commit(engine: AsyncEngine) -> int:
    async with engine.connect() as connection:
        await connection.execute(ORDER, {"tea": "longjing"})
        async with engine.connect() as other:
            return int(await other.scalar(COUNT) or 0)
