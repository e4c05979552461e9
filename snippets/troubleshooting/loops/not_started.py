"""engine.connect() and AsyncSession() want `async with`, or await.

engine.connect() 和 AsyncSession() 要用 async with，或者 await。
"""

import asyncio
import os
from typing import Any

from sqlalchemy import text
from sqlalchemy.ext.asyncio import (
    AsyncSession,
    async_sessionmaker,
    create_async_engine,
)
from sqlalchemy.ext.asyncio.exc import AsyncContextNotStarted

engine = create_async_engine(os.environ["DATABASE_URL"])
async_session: Any = async_sessionmaker(engine)
OOLONG = text("SELECT 'oolong'")


async def main() -> None:
    connection = engine.connect()
    try:
        await connection.execute(OOLONG)
    except AsyncContextNotStarted as error:
        print(error)
        #> AsyncConnection context has not been started and object has not been awaited.
    async with engine.connect() as connection:
        print("async with:", await connection.scalar(OOLONG))
        #> async with: oolong

    try:
        with async_session() as session:
            await session.execute(OOLONG)
    except TypeError as error:
        print(error)
        #> 'AsyncSession' object does not support the context manager protocol
    async with AsyncSession(engine) as session:
        print("async with:", await session.scalar(OOLONG))
        #> async with: oolong
    await engine.dispose()


asyncio.run(main())
