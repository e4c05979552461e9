"""asyncio.run() in a handler: the second invocation cannot use the pool.

处理函数里用 asyncio.run()：第二次调用就用不了连接池。
"""

import asyncio
import gc
import os

from sqlalchemy import text
from sqlalchemy.ext.asyncio import create_async_engine

engine = create_async_engine(os.environ["DATABASE_URL"])


async def order() -> str:
    try:
        async with engine.connect() as connection:
            return str(await connection.scalar(text("SELECT 'oolong'")))
    except Exception as error:
        return str(error).splitlines()[0].replace(";", "").split("> ")[-1]


def handler(payload: object, context: object) -> str:
    return asyncio.run(order())


for invocation in "first", "second":
    print(f"{invocation}:", handler({}, None))
    #> first: oolong
    #> second: attached to a different loop
asyncio.run(engine.dispose(close=False))
gc.collect()
