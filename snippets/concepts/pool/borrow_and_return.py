"""A session borrows at its first SQL and returns at the transaction's end.

会话执行第一条 SQL 时借连接，事务一结束就归还。
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
ORDER = text("SELECT 'longjing'")


async def postgresql() -> list[str]:
    """The rows of pg_stat_activity that belong to `engine`."""
    async with watcher.connect() as connection:
        return list(await connection.scalars(LOOK))


async def main() -> None:
    async with async_session() as session:
        print("session opened:", await postgresql())
        #> session opened: []
        await session.execute(ORDER)
        print("first SQL     :", await postgresql())
        #> first SQL     : ["idle in transaction | SELECT 'longjing'"]
        await session.commit()
        print("commit()      :", await postgresql())
        #> commit()      : ['idle | COMMIT;']
        await session.execute(ORDER)
        print("SQL again     :", await postgresql())
        #> SQL again     : ["idle in transaction | SELECT 'longjing'"]
        await session.rollback()
        print("rollback()    :", await postgresql())
        #> rollback()    : ['idle | ROLLBACK;']
        await session.execute(ORDER)
    print("block left    :", await postgresql())
    #> block left    : ['idle | ROLLBACK;']
    await engine.dispose()


asyncio.run(main())
