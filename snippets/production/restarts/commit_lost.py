"""The answer to COMMIT is lost: PostgreSQL says whether it was committed.

COMMIT 的回复丢了：到底提交了没有，问 PostgreSQL 就知道。
"""

import asyncio
import os
from asyncio import StreamReader, StreamWriter

from sqlalchemy import make_url, text
from sqlalchemy.exc import DBAPIError
from sqlalchemy.ext.asyncio import AsyncEngine, create_async_engine

URL = make_url(os.environ["DATABASE_URL"])
XID = text("SELECT CAST(pg_current_xact_id() AS text)")
STATUS = text("SELECT pg_xact_status(CAST(CAST(:xid AS text) AS xid8))")
to_lose = [b"COMMIT;", b"COMMIT\0"]  # the statement, then its answer


async def order(engine: AsyncEngine) -> object:
    xid = None
    try:
        async with engine.begin() as connection:
            xid = await connection.scalar(XID)  # and the order itself
        return "no error"
    except DBAPIError:
        async with engine.connect() as connection:
            while True:
                status = await connection.scalar(STATUS, {"xid": xid})
                if status != "in progress":
                    return status
                await asyncio.sleep(0.1)


async def proxy(reader: StreamReader, writer: StreamWriter) -> None:
    async def forward(source: StreamReader, target: StreamWriter) -> None:
        while data := await source.read(65536):
            if to_lose and to_lose[0] in data:
                to_lose.pop(0)
                writer.transport.abort()
                break
            target.write(data)
        target.close()

    back, server = await asyncio.open_connection(URL.host, URL.port or 5432)
    await asyncio.gather(forward(reader, server), forward(back, writer))


async def main() -> None:
    listener = await asyncio.start_server(proxy, "127.0.0.1", 0)
    host, port = listener.sockets[0].getsockname()
    url = URL.set(host=host, port=port)
    engine = create_async_engine(url, connect_args={"ssl": False})
    for what in ("COMMIT", "its answer"):
        print(f"{what} is lost:", await order(engine))
        #> COMMIT is lost: aborted
        #> its answer is lost: committed
    await engine.dispose()
    listener.close()


asyncio.run(main())
