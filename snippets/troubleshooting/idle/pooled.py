"""An idle row after the session has closed is the pool's spare connection.

会话关闭后还剩一行 idle：那是连接池留着备用的连接。
"""

import asyncio
import os

from sqlalchemy import text
from sqlalchemy.ext.asyncio import async_sessionmaker, create_async_engine
from sqlalchemy.pool import NullPool

URL = os.environ["DATABASE_URL"]
NAME = {"server_settings": {"application_name": "teahouse"}}
SEEN = text("""
    SELECT state, query FROM pg_stat_activity
    WHERE datname = current_database() AND application_name = 'teahouse'
""")
engine = create_async_engine(URL, connect_args=NAME)
async_session = async_sessionmaker(engine)
watcher = create_async_engine(URL, poolclass=NullPool)


async def main() -> None:
    async with async_session() as session:
        await session.execute(text("SELECT 'longjing'"))

    async with watcher.connect() as connection:
        row = (await connection.execute(SEEN)).one()
    print("server:", row.state, "|", row.query)
    #> server: idle | ROLLBACK;
    print("pool:", engine.pool.status())
    #> pool: Pool size: 5  Connections in pool: 1 Current Overflow: -4 Current Checked out connections: 0
    await engine.dispose()


asyncio.run(main())
