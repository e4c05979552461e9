"""Idle connections of your pools count against max_client_conn, at once.

连接池里空闲的连接也占 max_client_conn 的名额，超了立刻报错。
"""

import asyncio
import os
from contextlib import AsyncExitStack

from sqlalchemy.ext.asyncio import create_async_engine

URL = os.environ["DATABASE_URL"]


async def main() -> None:
    engine = create_async_engine(URL)
    async with AsyncExitStack() as lent:
        try:
            for number in range(1, 6):
                await lent.enter_async_context(engine.connect())
                print("connected:", number)
                #> connected: 1
                #> connected: 2
                #> connected: 3
        except Exception as error:  # 2.0 does not wrap it
            print(getattr(error, "orig", error))
            #> no more connections allowed (max_client_conn)
    await engine.dispose()


asyncio.run(main())
