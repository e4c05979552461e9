"""Inside a running loop await the coroutine; synchronous code gets a thread.

循环已经在跑，协程直接 await；里面有 asyncio.run() 的同步代码，放到线程里。
"""

import asyncio
import os

from sqlalchemy import text
from sqlalchemy.ext.asyncio import create_async_engine

URL = os.environ["DATABASE_URL"]


async def order() -> str:
    engine = create_async_engine(URL)
    async with engine.connect() as connection:
        drink = str(await connection.scalar(text("SELECT 'oolong'")))
    await engine.dispose()
    return drink


def order_from_synchronous_code() -> str:
    coroutine = order()
    try:
        return asyncio.run(coroutine)
    finally:
        coroutine.close()


async def main() -> None:
    try:
        order_from_synchronous_code()
    except RuntimeError as error:
        print(error)
        #> asyncio.run() cannot be called from a running event loop
    print("awaited:", await order())
    #> awaited: oolong
    print("thread:", await asyncio.to_thread(order_from_synchronous_code))
    #> thread: oolong


asyncio.run(main())
