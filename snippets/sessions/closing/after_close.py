"""A closed session takes a connection again as soon as you use it.

关闭后的会话一旦再用，就会重新借走一个连接。
"""

import asyncio
import os

from sqlalchemy import NullPool, text
from sqlalchemy.ext.asyncio import async_sessionmaker, create_async_engine

URL = os.environ["DATABASE_URL"]
NAME = {"server_settings": {"application_name": "teahouse"}}
engine = create_async_engine(URL, connect_args=NAME)
watcher = create_async_engine(URL, poolclass=NullPool)
async_session = async_sessionmaker(engine)


async def state() -> str:
    query = """SELECT state FROM pg_stat_activity
        WHERE application_name = 'teahouse'
        AND datname = current_database()"""
    async with watcher.connect() as connection:
        return str(await connection.scalar(text(query)))


async def main() -> None:
    async with async_session() as session:
        await session.execute(text("SELECT 'oolong'"))
        print("in the block:", await state())
        #> in the block: idle in transaction
        await session.close()
        print("after close():", await state())
        #> after close(): idle
        await session.execute(text("SELECT 'oolong'"))
        print("used again:", await state())
        #> used again: idle in transaction
    print("after the block:", await state())
    #> after the block: idle

    await session.execute(text("SELECT 'pu-erh'"))
    print("used after the block:", await state())
    #> used after the block: idle in transaction
    print(engine.pool.status())
    #> Pool size: 5  Connections in pool: 0 Current Overflow: -4 Current Checked out connections: 1

    await session.close()
    await engine.dispose()


asyncio.run(main())
