"""Nothing connects to PostgreSQL before the first SQL.

第一条 SQL 之前，没有任何东西去连 PostgreSQL。
"""

import asyncio
import os

from sqlalchemy import text
from sqlalchemy.ext.asyncio import async_sessionmaker, create_async_engine
from sqlalchemy.pool import NullPool

URL = os.environ["DATABASE_URL"]
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
    engine = create_async_engine(
        URL,
        pool_size=10,
        connect_args={"server_settings": {"application_name": "teahouse"}},
    )
    print("create_async_engine(pool_size=10):", await postgresql())
    #> create_async_engine(pool_size=10): []
    async with async_sessionmaker(engine)() as session:
        print("session opened:", await postgresql())
        #> session opened: []
        await session.begin()
        print("session.begin():", await postgresql())
        #> session.begin(): []
        await session.execute(text("SELECT 'longjing'"))
        print("first SQL:", await postgresql())
        #> first SQL: ["idle in transaction | SELECT 'longjing'"]
    await engine.dispose()


asyncio.run(main())
