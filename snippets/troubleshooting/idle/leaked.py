"""A leak shows as idle in transaction or, after a commit, as plain idle.

泄漏的连接显示为 idle in transaction；提交过的，看上去就是普通的 idle。
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
    ORDER BY backend_start
""")
engine = create_async_engine(URL, connect_args=NAME)
async_session = async_sessionmaker(engine)
watcher = create_async_engine(URL, poolclass=NullPool)


async def main() -> None:
    session = async_session()
    await session.execute(text("SELECT 'longjing'"))

    connection = await engine.connect()
    await connection.execute(text("SELECT 'oolong'"))
    await connection.commit()

    async with watcher.connect() as watching:
        for state, query in await watching.execute(SEEN):
            print("server:", state, "|", query)
            #> server: idle in transaction | SELECT 'longjing'
            #> server: idle | COMMIT;
    print("pool:", engine.pool.status())
    #> pool: Pool size: 5  Connections in pool: 0 Current Overflow: -3 Current Checked out connections: 2

    await session.close()
    await connection.close()
    await engine.dispose()


asyncio.run(main())
