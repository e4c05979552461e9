"""A setting read as a string fails late, or means its opposite.

从环境变量读来的字符串不转换，要么晚些才报错，要么意思正好相反。
"""

import asyncio
import os
import warnings

from sqlalchemy.ext.asyncio import (
    async_engine_from_config,
    create_async_engine,
)

URL = os.environ["DATABASE_URL"]
warnings.filterwarnings("ignore", "coroutine 'Queue.get'")  # Python 3.12+


async def main() -> None:
    try:
        create_async_engine(URL, pool_size="10")
    except TypeError as error:
        print("pool_size, at the start:", error)
        #> pool_size, at the start: unsupported operand type(s) for -: 'int' and 'str'

    engine = create_async_engine(
        URL, pool_size=1, max_overflow=0, pool_timeout="5"
    )
    async with engine.connect():
        try:
            await engine.connect()  # the first that has to wait
        except TypeError as error:
            print("pool_timeout, in the first rush:", type(error).__name__)
            #> pool_timeout, in the first rush: TypeError
    await engine.dispose()

    config = {
        "sqlalchemy.url": URL,
        "sqlalchemy.pool_size": "10",
        "sqlalchemy.pool_pre_ping": "false",
    }
    engine = async_engine_from_config(config)
    print(engine.pool.status().split("  ")[0])
    #> Pool size: 10
    print("pre-ping is on:", bool(engine.pool._pre_ping))
    #> pre-ping is on: True


asyncio.run(main())
