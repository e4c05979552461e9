"""A closed session leaves `idle`, a forgotten one `idle in transaction`.

关掉的会话留下 `idle`，忘了关的会话留下 `idle in transaction`。
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
    " ORDER BY backend_start"
)


async def main() -> None:
    async with async_session() as closed:
        await closed.execute(text("SELECT 'longjing'"))
        forgotten = async_session()
        await forgotten.execute(text("SELECT 'oolong'"))

    async with watcher.connect() as connection:
        for row in await connection.scalars(LOOK):
            print(row)
            #> idle | ROLLBACK;
            #> idle in transaction | SELECT 'oolong'
    print(engine.pool.status())
    #> Pool size: 5  Connections in pool: 1 Current Overflow: -3 Current Checked out connections: 1

    await forgotten.close()
    await engine.dispose()


asyncio.run(main())
