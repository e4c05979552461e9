"""A commit beside a running query spoils the connection for everybody after.

查询还在跑就提交：不光自己报错，连接也坏在池里，后来的会话个个失败。
"""

import asyncio
import os

from sqlalchemy import NullPool, text
from sqlalchemy.exc import InterfaceError
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


async def collide() -> None:
    async with async_session() as session:
        await session.execute(text("SELECT 'oolong'"))
        query = session.execute(text("SELECT pg_sleep(0.1)"))
        both = query, session.commit()
        _, error = await asyncio.gather(*both, return_exceptions=True)
        print(str(error).splitlines()[0])
        #> (sqlalchemy.dialects.postgresql.asyncpg.InterfaceError) cannot perform operation: another operation is in progress


async def innocent() -> str:
    try:
        async with async_session() as session:
            return str(await session.scalar(text("SELECT 'longjing'")))
    except InterfaceError as error:
        return str(error.orig)


async def main() -> None:
    await collide()
    print("lying in the pool:", await state())
    #> lying in the pool: idle in transaction
    for guest in ("second", "third"):
        print(f"{guest} guest:", await innocent())
        #> second guest: cannot use Connection.transaction() in a manually started transaction
        #> third guest: cannot use Connection.transaction() in a manually started transaction
    await engine.dispose()


asyncio.run(main())
