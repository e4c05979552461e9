"""Engine and loop at module level: one connection for all invocations.

引擎和循环都放在模块里：调用多少次，都只用一个连接。
"""

import asyncio
import os

from sqlalchemy import NullPool, Pool, event, text
from sqlalchemy.ext.asyncio import AsyncEngine, create_async_engine

URL = os.environ["DATABASE_URL"]
opened: list[object] = []
event.listen(Pool, "connect", lambda *_: opened.append("one"))

runner = asyncio.Runner()
engine = create_async_engine(URL, pool_size=1, max_overflow=0)
unpooled = create_async_engine(URL, poolclass=NullPool)


async def order(engine: AsyncEngine) -> str:
    async with engine.connect() as connection:
        return str(await connection.scalar(text("SELECT 'oolong'")))


async def order_and_dispose() -> str:
    own = create_async_engine(URL)
    try:
        return await order(own)
    finally:
        await own.dispose()


def engine_in_the_module(payload: object, context: object) -> str:
    return runner.run(order(engine))


def engine_in_the_handler(payload: object, context: object) -> str:
    return asyncio.run(order_and_dispose())


def null_pool(payload: object, context: object) -> str:
    return asyncio.run(order(unpooled))


for handler in engine_in_the_module, engine_in_the_handler, null_pool:
    opened.clear()
    for _ in range(20):
        handler({}, None)
    print(f"{handler.__name__}: 20 invocations, opened", len(opened))
    #> engine_in_the_module: 20 invocations, opened 1
    #> engine_in_the_handler: 20 invocations, opened 20
    #> null_pool: 20 invocations, opened 20

runner.run(engine.dispose())
runner.close()
