"""advanced-alchemy closes the session before the response: a stream leaks.

advanced-alchemy 在发响应之前关会话：流里接着用它，连接就泄漏。
"""

import asyncio
import os

import httpx
from advanced_alchemy.extensions import litestar as alchemy
from litestar import Litestar, get
from litestar.di import NamedDependency as Named
from litestar.params import FromPath
from litestar.response import Stream
from sqlalchemy import NullPool, text
from sqlalchemy.ext.asyncio import AsyncSession, create_async_engine

URL, NAME = os.environ["DATABASE_URL"], f"guide_{os.urandom(4).hex()}"
OPTIONS = {"server_settings": {"application_name": NAME}}
BACKENDS = "SELECT count(*) FROM pg_stat_activity WHERE application_name"
CUPS, FOUR = text("SELECT 12 / CAST(:guests AS integer)"), {"guests": 4}
engine = create_async_engine(URL, connect_args=OPTIONS)
watcher = create_async_engine(URL, poolclass=NullPool)
left: list[AsyncSession] = []


@get("/{guests:int}")
async def pour(guests: FromPath[int], db_session: Named[AsyncSession]) -> str:
    return str(await db_session.scalar(CUPS, {"guests": guests}))


@get("/stream")
async def stream(db_session: Named[AsyncSession]) -> Stream:
    left.append(db_session)
    return Stream(str(await db_session.scalar(CUPS, FOUR)) for _ in range(3))


config = alchemy.SQLAlchemyAsyncConfig(engine_instance=engine)
plugin = alchemy.SQLAlchemyPlugin(config)
app = Litestar([pour, stream], plugins=[plugin], logging_config=None)
transport = httpx.ASGITransport(app)  # type: ignore[arg-type]
client = httpx.AsyncClient(transport=transport, base_url="http://tea")


async def look() -> str:
    async with watcher.connect() as connection:
        backends = await connection.scalar(text(f"{BACKENDS} = '{NAME}'"))
    return f"lent {engine.pool.status().split()[-1]}, backends {backends}"


async def main() -> None:
    async with app.lifespan():
        for path in ("/4", "/0", "/stream"):
            answer = await client.get(path)
            print(path, answer.status_code, await look())
            #> /4 200 lent 0, backends 1
            #> /0 500 lent 0, backends 1
            #> /stream 200 lent 1, backends 1
    print("after shutdown:", await look())
    #> after shutdown: lent 0, backends 1
    await left[0].invalidate()


asyncio.run(main())
