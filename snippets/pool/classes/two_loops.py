"""A pooled connection is of no use to a second event loop; NullPool keeps none.

池里的连接换了事件循环就不能用；NullPool 一个都不留。
"""

import asyncio
import os
import re

from sqlalchemy import text
from sqlalchemy.ext.asyncio import AsyncEngine, create_async_engine
from sqlalchemy.pool import NullPool

URL = os.environ["DATABASE_URL"]


async def order(engine: AsyncEngine) -> str:
    async with engine.connect() as connection:
        return str(await connection.scalar(text("SELECT 'pu-erh'")))


pooled = create_async_engine(URL)
unpooled = create_async_engine(URL, poolclass=NullPool)
print("pooled:", asyncio.run(order(pooled)))
#> pooled: pu-erh
try:
    print(asyncio.run(order(pooled)))
except RuntimeError as error:
    print("pooled:", re.split(">;? ", str(error))[-1])
    #> pooled: attached to a different loop
print("NullPool:", asyncio.run(order(unpooled)))
#> NullPool: pu-erh
print("NullPool:", asyncio.run(order(unpooled)))
#> NullPool: pu-erh
