"""A loop that ends before dispose() leaves connections that nobody can use.

事件循环先结束、没有 dispose()，留下的连接谁也用不了。
"""

import asyncio
import os

from sqlalchemy import NullPool, text
from sqlalchemy.ext.asyncio import create_async_engine

URL = os.environ["DATABASE_URL"]
NAME = {"server_settings": {"application_name": "teahouse"}}
BACKENDS = text("""
    SELECT count(*) FROM pg_stat_activity
    WHERE datname = current_database() AND application_name = 'teahouse'
""")
engine = create_async_engine(URL, connect_args=NAME)


async def brew() -> str:
    async with engine.connect() as connection:
        return str(await connection.scalar(text("SELECT 'oolong'")))


async def brew_and_dispose() -> str:
    try:
        return await brew()
    finally:
        await engine.dispose()


async def on_the_server() -> int:
    watcher = create_async_engine(URL, poolclass=NullPool)
    async with watcher.connect() as connection:
        return int(await connection.scalar(BACKENDS))


asyncio.run(brew())
print("left behind:", asyncio.run(on_the_server()))
#> left behind: 1
try:
    asyncio.run(brew())
except RuntimeError as error:
    print("second loop:", str(error).rpartition("> ")[2])
    #> second loop: attached to a different loop

asyncio.run(engine.dispose(close=False))
drinks = [asyncio.run(brew_and_dispose()) for _ in range(3)]
print("disposed in each loop:", *drinks)
#> disposed in each loop: oolong oolong oolong
