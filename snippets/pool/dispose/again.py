"""dispose() closes what is in the pool, and the engine works on.

dispose() 关掉池里的连接，引擎照样能用。
"""

import asyncio
import os

from sqlalchemy import NullPool, event, text
from sqlalchemy.ext.asyncio import create_async_engine

URL = os.environ["DATABASE_URL"]
NAME = {"server_settings": {"application_name": "teahouse"}}
BACKENDS = text("""
    SELECT count(*) FROM pg_stat_activity
    WHERE datname = current_database() AND application_name = 'teahouse'
""")
engine = create_async_engine(URL, connect_args=NAME)
watcher = create_async_engine(URL, poolclass=NullPool)
opened: list[object] = []
event.listen(engine.sync_engine, "connect", lambda *_: opened.append("one"))


async def three_guests() -> None:
    everyone = asyncio.Barrier(3)

    async def guest() -> None:
        async with engine.connect():
            await everyone.wait()

    await asyncio.gather(*(guest() for _ in range(3)))


async def on_the_server() -> int:
    async with watcher.connect() as connection:
        return int(await connection.scalar(BACKENDS))


async def main() -> None:
    for _ in range(2):
        await three_guests()
        before = await on_the_server()
        await engine.dispose()
        await engine.dispose()
        print(before, "backends, then", await on_the_server())
        #> 3 backends, then 0
        #> 3 backends, then 0
    print("opened:", len(opened))
    #> opened: 6


asyncio.run(main())
