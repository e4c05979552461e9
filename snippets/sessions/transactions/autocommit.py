"""In AUTOCOMMIT every statement is final, whatever the session says.

AUTOCOMMIT 下每条语句立刻生效，不管会话显示什么。
"""

import asyncio
import os
from contextlib import suppress
from secrets import token_hex

from sqlalchemy import NullPool, text
from sqlalchemy.ext.asyncio import async_sessionmaker, create_async_engine

URL = os.environ["DATABASE_URL"]
NAME = {"server_settings": {"application_name": "teahouse"}}
engine = create_async_engine(URL, connect_args=NAME)
watcher = create_async_engine(URL, poolclass=NullPool)
autocommit = async_sessionmaker(
    engine.execution_options(isolation_level="AUTOCOMMIT")
)
ORDERS = f"guide_orders_{token_hex(4)}"
ORDER = text(f"INSERT INTO {ORDERS} VALUES ('longjing')")


async def look() -> str:
    query = f"""SELECT 'server says ' || state || ', ' || rows || ' saved'
        FROM pg_stat_activity, (SELECT count(*) AS rows FROM {ORDERS}) AS own
        WHERE application_name = 'teahouse'
        AND datname = current_database()"""
    async with watcher.connect() as connection:
        return str(await connection.scalar(text(query)))


async def main() -> None:
    async with watcher.begin() as connection:
        await connection.execute(text(f"CREATE TABLE {ORDERS} (drink text)"))

    async with autocommit() as session:
        await session.execute(ORDER)
        print("in_transaction():", session.in_transaction())
        #> in_transaction(): True
        print("INSERT:", await look())
        #> INSERT: server says idle, 1 saved
        await session.rollback()
        print("rollback():", await look())
        #> rollback(): server says idle, 1 saved

    with suppress(LookupError):
        async with autocommit.begin() as session:
            await session.execute(ORDER)
            raise LookupError("out of longjing")
    print("exception in begin():", await look())
    #> exception in begin(): server says idle, 2 saved

    async with watcher.begin() as connection:
        await connection.execute(text(f"DROP TABLE {ORDERS}"))
    await engine.dispose()


asyncio.run(main())
