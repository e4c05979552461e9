"""advanced-alchemy closes the session before the response: a stream leaks.

advanced-alchemy 在发响应之前关会话：流里接着用它，连接就泄漏。
"""

import asyncio
import os

import httpx
from advanced_alchemy.extensions import litestar as alchemy
from litestar import Litestar, get
from litestar.di import NamedDependency
from litestar.params import FromPath
from litestar.response import Stream
from sqlalchemy import QueuePool, text
from sqlalchemy.ext.asyncio import AsyncSession, create_async_engine

URL, NAME = os.environ["DATABASE_URL"], f"guide_{os.urandom(4).hex()}"
OPTIONS = {"server_settings": {"application_name": NAME}}
BACKENDS = text(
    f"SELECT count(*) FROM pg_stat_activity WHERE application_name = '{NAME}'"
)
CUPS, FOUR = text("SELECT 12 / CAST(:guests AS integer)"), {"guests": 4}
engine = create_async_engine(URL, connect_args=OPTIONS)
watcher = create_async_engine(URL, isolation_level="AUTOCOMMIT")
Session = NamedDependency[AsyncSession]
left: list[AsyncSession] = []


@get("/{guests:int}")
async def pour(guests: FromPath[int], db_session: Session) -> str:
    return str(await db_session.scalar(CUPS, {"guests": guests}))


@get("/stream")
async def stream(db_session: Session) -> Stream:
    left.append(db_session)
    return Stream(str(await db_session.scalar(CUPS, FOUR)) for _ in range(3))


config = alchemy.SQLAlchemyAsyncConfig(engine_instance=engine)
plugin = alchemy.SQLAlchemyPlugin(config)
app = Litestar([pour, stream], plugins=[plugin], logging_config=None)


async def main() -> None:
    transport = httpx.ASGITransport(app)  # type: ignore[arg-type]
    client = httpx.AsyncClient(transport=transport)
    async with watcher.connect() as postgresql:
        async with app.lifespan():
            for path in ("/4", "/0", "/stream"):
                status = (await client.get(f"http://tea{path}")).status_code
                assert isinstance(engine.pool, QueuePool)
                print(path, status, "lent:", engine.pool.checkedout())
                #> /4 200 lent: 0
                #> /0 500 lent: 0
                #> /stream 200 lent: 1
        print("after shutdown:", await postgresql.scalar(BACKENDS))
        #> after shutdown: 1
    await left[0].invalidate()
    await watcher.dispose()


asyncio.run(main())
