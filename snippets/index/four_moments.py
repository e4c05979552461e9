"""Closing a session gives its connection back to the pool, which keeps it open.

关闭会话只是把连接还给连接池，连接池让它继续开着。
"""

import asyncio
import os

from sqlalchemy import text
from sqlalchemy.ext.asyncio import async_sessionmaker, create_async_engine
from sqlalchemy.pool import NullPool

URL = os.environ["DATABASE_URL"]
engine = create_async_engine(
    URL, connect_args={"server_settings": {"application_name": "teahouse"}}
)
async_session = async_sessionmaker(engine)
watcher = create_async_engine(URL, poolclass=NullPool)
LOOK = text(
    "SELECT state || ' | ' || query FROM pg_stat_activity"
    " WHERE application_name = 'teahouse' AND datname = current_database()"
)


async def postgresql() -> list[str]:
    """The rows of pg_stat_activity that belong to `engine`."""
    async with watcher.connect() as connection:
        return list(await connection.scalars(LOOK))


async def main() -> None:
    print("before, server:", await postgresql())
    #> before, server: []
    print("before, pool:", engine.pool.status())
    #> before, pool: Pool size: 5  Connections in pool: 0 Current Overflow: -5 Current Checked out connections: 0
    async with async_session() as session:
        await session.execute(text("SELECT 'longjing'"))
        print("during, server:", await postgresql())
        #> during, server: ["idle in transaction | SELECT 'longjing'"]
        print("during, pool:", engine.pool.status())
        #> during, pool: Pool size: 5  Connections in pool: 0 Current Overflow: -4 Current Checked out connections: 1
    print("after, server:", await postgresql())
    #> after, server: ['idle | ROLLBACK;']
    print("after, pool:", engine.pool.status())
    #> after, pool: Pool size: 5  Connections in pool: 1 Current Overflow: -4 Current Checked out connections: 0
    await engine.dispose()
    print("dispose, server:", await postgresql())
    #> dispose, server: []
    print("dispose, pool:", engine.pool.status())
    #> dispose, pool: Pool size: 5  Connections in pool: 0 Current Overflow: -5 Current Checked out connections: 0


asyncio.run(main())
