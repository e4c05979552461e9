"""A listener on a pooled connection falls silent; one of its own hears on.

监听挂在池里的连接上，会悄悄失效；给它一个自己的连接才一直收得到。
"""

import asyncio
import os
from secrets import token_hex

from sqlalchemy import NullPool, text
from sqlalchemy.ext.asyncio import AsyncConnection, create_async_engine

URL = os.environ["DATABASE_URL"]
engine = create_async_engine(URL)
keeper = create_async_engine(
    URL, poolclass=NullPool, isolation_level="AUTOCOMMIT"
)
CHANNEL = f"guide_kitchen_{token_hex(4)}"
NOTIFY = text("SELECT pg_notify(:channel, :drink)")
heard = asyncio.Queue[str]()


async def listen(connection: AsyncConnection) -> None:
    raw = await connection.get_raw_connection()
    assert raw.driver_connection
    await raw.driver_connection.add_listener(
        CHANNEL, lambda *said: heard.put_nowait(said[3])
    )


async def call_out(drink: str) -> str:
    async with engine.begin() as connection:
        await connection.execute(NOTIFY, {"channel": CHANNEL, "drink": drink})
    try:
        return await asyncio.wait_for(heard.get(), timeout=2)
    except TimeoutError:
        return "not heard"


async def main() -> None:
    async with engine.connect() as connection:
        await listen(connection)
    print("its connection is in the pool:", await call_out("oolong"))
    #> its connection is in the pool: oolong
    await engine.dispose()  # or pool_recycle, an error, a restart
    print("the pool has closed it:", await call_out("pu-erh"))
    #> the pool has closed it: not heard
    async with keeper.connect() as connection:
        await listen(connection)
        print("a connection of its own:", await call_out("longjing"))
        #> a connection of its own: longjing
    await engine.dispose()


asyncio.run(main())
