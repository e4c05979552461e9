"""One engine in two event loops: asyncpg fails, psycopg works.

一个引擎用在两个事件循环里：asyncpg 报错，psycopg 没事。
"""

import asyncio
import os
import re

from sqlalchemy import make_url, text
from sqlalchemy.ext.asyncio import AsyncEngine, create_async_engine

URL = make_url(os.environ["DATABASE_URL"])


async def order(engine: AsyncEngine) -> str:
    try:
        async with engine.connect() as connection:
            return str(await connection.scalar(text("SELECT 'oolong'")))
    except RuntimeError as error:
        await engine.dispose(close=False)
        return re.split(">;? ", str(error))[-1]


for driver in ("asyncpg", "psycopg"):
    engine = create_async_engine(URL.set(drivername=f"postgresql+{driver}"))
    first, second = asyncio.run(order(engine)), asyncio.run(order(engine))
    print(f"{driver}: {first}, then {second}")
    #> asyncpg: oolong, then attached to a different loop
    #> psycopg: oolong, then oolong
    asyncio.run(engine.dispose())
