"""The note of an order is written by a session of its own: a second connection.

写备注的函数自己又开了一个会话：第二个连接。
"""

import os

from sqlalchemy import text
from sqlalchemy.ext.asyncio import async_sessionmaker, create_async_engine

engine = create_async_engine(os.environ["DATABASE_URL"])
async_session = async_sessionmaker(engine)


async def note(tea: str) -> None:
    async with async_session() as session:
        await session.execute(text("SELECT :tea"), {"tea": tea})


async def order(tea: str) -> None:
    async with async_session() as session:
        await session.execute(text("SELECT :tea"), {"tea": tea})
    await note(tea)


async def order_nested(tea: str) -> None:
    async with async_session() as session:
        await session.execute(text("SELECT :tea"), {"tea": tea})
        await note(tea)
