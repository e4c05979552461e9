"""A loop that ends before dispose() leaves connections that nobody can use.

事件循环先结束、没有 dispose()，留下的连接谁也用不了。
"""

import asyncio
import os
import re

from sqlalchemy import text
from sqlalchemy.ext.asyncio import create_async_engine

engine = create_async_engine(os.environ["DATABASE_URL"])


async def brew() -> str:
    async with engine.connect() as connection:
        return str(await connection.scalar(text("SELECT 'oolong'")))


async def brew_and_dispose() -> str:
    try:
        return await brew()
    finally:
        await engine.dispose()


print("first loop:", asyncio.run(brew()))
#> first loop: oolong
try:
    asyncio.run(brew())
except RuntimeError as error:
    print("second loop:", re.split(">;? ", str(error))[-1])
    #> second loop: attached to a different loop

asyncio.run(engine.dispose(close=False))  # forget what cannot be used
drinks = [asyncio.run(brew_and_dispose()) for _ in range(3)]
print("disposed in each loop:", *drinks)
#> disposed in each loop: oolong oolong oolong
