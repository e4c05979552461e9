"""An engine lends `pool_size` + `max_overflow`, and each has a default.

一个引擎能借出 `pool_size` + `max_overflow` 个，没写的那个按默认值算。
"""

import asyncio
import os
from contextlib import AsyncExitStack

from sqlalchemy.exc import TimeoutError
from sqlalchemy.ext.asyncio import create_async_engine


async def lends(**sizes: int) -> int:
    engine = create_async_engine(
        os.environ["DATABASE_URL"], pool_timeout=0, **sizes
    )
    number = 0
    async with AsyncExitStack() as lent:
        try:
            while True:
                await lent.enter_async_context(engine.connect())
                number += 1
        except TimeoutError:
            pass
    await engine.dispose()
    return number


async def main() -> None:
    print("nothing set:", await lends())
    #> nothing set: 15
    print("pool_size=10:", await lends(pool_size=10))
    #> pool_size=10: 20
    print("max_overflow=20:", await lends(max_overflow=20))
    #> max_overflow=20: 25
    print("both set, 10 and 0:", await lends(pool_size=10, max_overflow=0))
    #> both set, 10 and 0: 10


asyncio.run(main())
