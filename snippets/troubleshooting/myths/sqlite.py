"""The pool for SQLite in memory lends two sessions the same connection.

给内存里的 SQLite 用的连接池，把同一个连接借给两个会话。
"""

import asyncio
import os
from typing import Any

from sqlalchemy import make_url, text
from sqlalchemy.dialects.sqlite.aiosqlite import dialect
from sqlalchemy.ext.asyncio import AsyncSession, create_async_engine

URL = os.environ["DATABASE_URL"]
SQLITE = dialect.get_pool_class(make_url("sqlite+aiosqlite://"))
PID = text("SELECT pg_backend_pid()")


async def connections_of_two(**settings: Any) -> str:
    engine = create_async_engine(URL, **settings)
    async with AsyncSession(engine) as one, AsyncSession(engine) as two:
        pids = {await one.scalar(PID), await two.scalar(PID)}
    await engine.dispose()
    return f"{type(engine.pool).__name__}, {len(pids)}"


async def main() -> None:
    print("PostgreSQL:", await connections_of_two())
    #> PostgreSQL: AsyncAdaptedQueuePool, 2
    print("as SQLite:", await connections_of_two(poolclass=SQLITE))
    #> as SQLite: StaticPool, 1


asyncio.run(main())
