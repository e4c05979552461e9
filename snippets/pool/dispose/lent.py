"""A connection that is lent during dispose() survives it, outside the pool.

dispose() 时已经借出的连接不会关闭，也不再归池管。
"""

import asyncio
import gc
import os

from sqlalchemy import NullPool, text
from sqlalchemy.ext.asyncio import async_sessionmaker, create_async_engine

URL = os.environ["DATABASE_URL"]
NAME = {"server_settings": {"application_name": "teahouse"}}
BACKENDS = text("""
    SELECT count(*) FROM pg_stat_activity
    WHERE datname = current_database() AND application_name = 'teahouse'
""")
engine = create_async_engine(
    URL, pool_size=1, max_overflow=0, connect_args=NAME
)
async_session = async_sessionmaker(engine)
watcher = create_async_engine(URL, poolclass=NullPool)


async def brew() -> None:
    async with async_session() as session:
        await session.execute(text("SELECT 'pu-erh'"))


async def on_the_server() -> int:
    async with watcher.connect() as connection:
        return int(await connection.scalar(BACKENDS))


async def main() -> None:
    gc.disable()  # else it may come before the last lines
    async with async_session() as session:
        await session.execute(text("SELECT 'longjing'"))
        await engine.dispose()
        await session.execute(text("SELECT 'oolong'"))
        await brew()
        print("lent, and one more:", await on_the_server())
        #> lent, and one more: 2
    print("returned:", await on_the_server())
    #> returned: 2
    await engine.dispose()
    print("disposed again:", await on_the_server())
    #> disposed again: 1
    gc.collect()
    async with asyncio.timeout(30):
        while await on_the_server():  # its backend needs a moment
            continue
    print("garbage collected:", await on_the_server())
    #> garbage collected: 0


asyncio.run(main())
