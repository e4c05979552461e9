"""A hundred sessions in a row share one server connection.

一百个会话先后打开，用的是同一个服务端连接。
"""

import asyncio
import os

from sqlalchemy import text
from sqlalchemy.ext.asyncio import async_sessionmaker, create_async_engine

engine = create_async_engine(os.environ["DATABASE_URL"])
async_session = async_sessionmaker(engine)


async def main() -> None:
    backends = set()
    for _ in range(100):
        async with async_session() as session:
            backends.add(await session.scalar(text("SELECT pg_backend_pid()")))
    print("server connections used by 100 sessions:", len(backends))
    #> server connections used by 100 sessions: 1
    await engine.dispose()


asyncio.run(main())
