"""Quart serves all requests in one loop, so its async views can share a pool.

Quart 的请求都在一个循环里，异步视图可以共用连接池。
"""

import asyncio
import logging
import os
from collections.abc import AsyncGenerator

from quart import Quart
from sqlalchemy import NullPool, event, text
from sqlalchemy.ext.asyncio import AsyncSession, create_async_engine

URL, NAME = os.environ["DATABASE_URL"], f"guide_{os.urandom(4).hex()}"
OPTIONS = {"server_settings": {"application_name": NAME}}
BACKENDS = "SELECT count(*) FROM pg_stat_activity WHERE application_name"
CUPS = text("SELECT 12 / CAST(:guests AS integer)")
engine = create_async_engine(URL, connect_args=OPTIONS)
watcher = create_async_engine(URL, poolclass=NullPool)
loops: set[asyncio.AbstractEventLoop] = set()
for name in ("checkout", "close"):
    event.listen(
        engine.sync_engine,
        name,
        lambda *_: loops.add(asyncio.get_running_loop()),
    )
app = Quart(__name__)
logging.disable()  # of the 500 that is wanted here


@app.while_serving
async def lifespan() -> AsyncGenerator[None, None]:
    yield
    await engine.dispose()


@app.get("/<int:guests>")
async def pour(guests: int) -> str:
    async with AsyncSession(engine) as session:
        return str(await session.scalar(CUPS, {"guests": guests}))


async def look() -> str:
    async with watcher.connect() as connection:
        backends = await connection.scalar(text(f"{BACKENDS} = '{NAME}'"))
    lent = engine.pool.status().split()[-1]
    return f"lent {lent}, backends {backends}, loops {len(loops)}"


async def main() -> None:
    async with app.test_app():
        for path in ("/4", "/0"):
            answer = await app.test_client().get(path)
            print(path, answer.status_code, await look())
            #> /4 200 lent 0, backends 1, loops 1
            #> /0 500 lent 0, backends 1, loops 1
    print("after shutdown:", await look())
    #> after shutdown: lent 0, backends 0, loops 1


asyncio.run(main())
