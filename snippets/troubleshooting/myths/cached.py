"""A cache spares a query; asked inside a transaction, it holds a connection.

缓存省的是查询；在事务里访问缓存，连接照样占着。
"""

import asyncio
import os

from sqlalchemy import text
from sqlalchemy.ext.asyncio import async_sessionmaker, create_async_engine

engine = create_async_engine(os.environ["DATABASE_URL"])
async_session = async_sessionmaker(engine)
cache = {"price": 12}


async def ask_cache(when: str) -> int:
    print(f"{when}:", engine.pool.status())
    #> before the first query: Pool size: 5  Connections in pool: 0 Current Overflow: -5 Current Checked out connections: 0
    #> inside a transaction: Pool size: 5  Connections in pool: 0 Current Overflow: -4 Current Checked out connections: 1
    #> after commit(): Pool size: 5  Connections in pool: 1 Current Overflow: -4 Current Checked out connections: 0
    return cache["price"]


async def main() -> None:
    async with async_session() as session:
        await ask_cache("before the first query")
        await session.execute(text("SELECT 'oolong'"))
        await ask_cache("inside a transaction")
        await session.commit()
        await ask_cache("after commit()")
    await engine.dispose()


asyncio.run(main())
