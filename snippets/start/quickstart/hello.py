"""An engine, a session factory and `async with` are all a query needs.

一个引擎、一个会话工厂、一个 `async with`，就能执行查询。
"""

import asyncio
import os

from sqlalchemy import text
from sqlalchemy.ext.asyncio import async_sessionmaker, create_async_engine

engine = create_async_engine(os.environ["DATABASE_URL"])
async_session = async_sessionmaker(engine)


async def main() -> None:
    async with async_session() as session:
        print(await session.scalar(text("SELECT 'longjing, please'")))
        #> longjing, please
    await engine.dispose()


asyncio.run(main())
