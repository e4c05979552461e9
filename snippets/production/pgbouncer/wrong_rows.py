"""Where the names of two processes meet, a query returns the rows of another.

两个进程的语句重名时，查询返回的是对方那条查询的结果，没有报错。
"""

import asyncio
import os
import sys
from asyncio.subprocess import PIPE, create_subprocess_exec

from sqlalchemy import text
from sqlalchemy.ext.asyncio import create_async_engine

URL = os.environ["DATABASE_URL"]
CURE = {"statement_cache_size": 0, "prepared_statement_cache_size": 0}
SETTINGS: dict[str, dict[str, int]] = {"defaults": {}, "cure": CURE}


async def guest(connect_args: dict[str, int]) -> None:
    engine = create_async_engine(URL, connect_args=connect_args)
    async with engine.begin() as connection:
        await connection.scalar(text("SELECT 'oolong'"))
        sys.stdout.write("served\n")
        sys.stdout.flush()
        await asyncio.to_thread(sys.stdin.readline)
    await engine.dispose()


async def order_longjing_twice(settings: str) -> list[str | None]:
    engine = create_async_engine(URL, connect_args=SETTINGS[settings])
    longjing = text("SELECT 'longjing'")
    async with engine.begin() as connection:
        served = [await connection.scalar(longjing)]
        another = await create_subprocess_exec(
            *(sys.executable, __file__, "guest", settings),
            stdin=PIPE,
            stdout=PIPE,
        )
        assert another.stdout
        await another.stdout.readline()
    await another.communicate(b"pay\n")  # what it had is given out next
    async with engine.begin() as connection:
        served.append(await connection.scalar(longjing))
    await engine.dispose()
    return served


async def main() -> None:
    print("defaults:", await order_longjing_twice("defaults"))
    #> defaults: ['longjing', 'oolong']
    print("cure:", await order_longjing_twice("cure"))
    #> cure: ['longjing', 'longjing']


IS_GUEST = "guest" in sys.argv
asyncio.run(guest(SETTINGS[sys.argv[-1]]) if IS_GUEST else main())
