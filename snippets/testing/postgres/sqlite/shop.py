"""Three mistakes with connections that a database in SQLite's memory forgives.

三个用错连接的写法，SQLite 内存库都放过了。
"""

from secrets import token_hex

from sqlalchemy import text
from sqlalchemy.ext.asyncio import AsyncConnection, AsyncEngine

TABLE = f"guide_orders_{token_hex(4)}"
ORDER = text(f"INSERT INTO {TABLE} (tea) VALUES (:tea)")
COUNT = text(f"SELECT count(*) FROM {TABLE}")
kept: list[AsyncConnection] = []


async def forget_to_close(engine: AsyncEngine) -> None:
    kept.append(await engine.connect())


async def borrow_two(engine: AsyncEngine) -> None:
    async with engine.connect() as connection:
        await connection.execute(COUNT)
        async with engine.connect() as other:
            await other.execute(COUNT)


async def read_before_commit(engine: AsyncEngine) -> int:
    async with engine.begin() as connection:
        await connection.execute(ORDER, {"tea": "longjing"})
        async with engine.connect() as other:
            return int(await other.scalar(COUNT) or 0)
