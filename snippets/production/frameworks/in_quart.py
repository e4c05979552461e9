"""Quart serves all requests in one loop, so its async views can share a pool.

Quart 的请求都在一个循环里，异步视图可以共用连接池。
"""

import asyncio
import logging
import os
from collections.abc import AsyncGenerator

from quart import Quart
from sqlalchemy import QueuePool, text
from sqlalchemy.ext.asyncio import async_sessionmaker, create_async_engine

URL, NAME = os.environ["DATABASE_URL"], f"guide_{os.urandom(4).hex()}"
OPTIONS = {"server_settings": {"application_name": NAME}}
BACKENDS = text(
    f"SELECT count(*) FROM pg_stat_activity WHERE application_name = '{NAME}'"
)
CUPS = text("SELECT 12 / CAST(:guests AS integer)")
engine = create_async_engine(URL, connect_args=OPTIONS)
async_session = async_sessionmaker(engine)
watcher = create_async_engine(URL, isolation_level="AUTOCOMMIT")
loops: set[asyncio.AbstractEventLoop] = set()
app = Quart(__name__)
logging.disable()  # of the 500 that is wanted here


@app.while_serving
async def lifespan() -> AsyncGenerator[None, None]:
    yield
    loops.add(asyncio.get_running_loop())
    await engine.dispose()


@app.get("/<int:guests>")
async def pour(guests: int) -> str:
    loops.add(asyncio.get_running_loop())
    async with async_session() as session:
        return str(await session.scalar(CUPS, {"guests": guests}))


async def main() -> None:
    async with watcher.connect() as postgresql:
        async with app.test_app() as running:
            client = running.test_client()
            for path in ("/4", "/0"):
                status = (await client.get(path)).status_code
                assert isinstance(engine.pool, QueuePool)
                print(path, status, "lent:", engine.pool.checkedout())
                #> /4 200 lent: 0
                #> /0 500 lent: 0
            print("backends:", await postgresql.scalar(BACKENDS))
            #> backends: 1
        print("after shutdown:", await postgresql.scalar(BACKENDS))
        #> after shutdown: 0
    print("event loops:", len(loops))
    #> event loops: 1
    await watcher.dispose()


asyncio.run(main())
