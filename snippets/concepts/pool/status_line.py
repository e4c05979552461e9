"""Fifteen sessions open fifteen connections; five stay when they are done.

十五个会话同时用，开出十五个连接；用完只留五个。
"""

import asyncio
import os
from contextlib import AsyncExitStack

from sqlalchemy import text
from sqlalchemy.ext.asyncio import async_sessionmaker, create_async_engine
from sqlalchemy.pool import NullPool

URL = os.environ["DATABASE_URL"]
engine = create_async_engine(
    URL, connect_args={"server_settings": {"application_name": "teahouse"}}
)
async_session = async_sessionmaker(engine)
watcher = create_async_engine(URL, poolclass=NullPool)
COUNT = text(
    "SELECT count(*) FROM pg_stat_activity"
    " WHERE application_name = 'teahouse' AND datname = current_database()"
)


async def main() -> None:
    print("fresh:", engine.pool.status())
    #> fresh: Pool size: 5  Connections in pool: 0 Current Overflow: -5 Current Checked out connections: 0
    async with AsyncExitStack() as guests:
        for _ in range(15):
            session = await guests.enter_async_context(async_session())
            await session.execute(text("SELECT 'oolong'"))
        print("busy :", engine.pool.status())
        #> busy : Pool size: 5  Connections in pool: 0 Current Overflow: 10 Current Checked out connections: 15
    print("quiet:", engine.pool.status())
    #> quiet: Pool size: 5  Connections in pool: 5 Current Overflow: 0 Current Checked out connections: 0

    async with watcher.connect() as connection:
        print("on the server:", await connection.scalar(COUNT))
        #> on the server: 5
    await engine.dispose()


asyncio.run(main())
