"""With NullPool the server connection ends together with the transaction.

用 NullPool，事务一结束，服务端连接就断开。
"""

import asyncio
import os

from sqlalchemy import text
from sqlalchemy.ext.asyncio import async_sessionmaker, create_async_engine
from sqlalchemy.pool import NullPool

URL = os.environ["DATABASE_URL"]
engine = create_async_engine(
    URL,
    poolclass=NullPool,
    connect_args={"server_settings": {"application_name": "teahouse"}},
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
    async with async_session() as session:
        await session.execute(text("SELECT 'longjing'"))
        print("during:", await postgresql())
        #> during: ["idle in transaction | SELECT 'longjing'"]
        await session.commit()
        print("commit:", await postgresql())
        #> commit: []


asyncio.run(main())
