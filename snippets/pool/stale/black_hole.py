"""When no answer comes any more, pre-ping waits on; a ping of our own gives up.

再没有响应时，预检一直等下去；自己写的探测半秒就放弃。
"""

import asyncio
import os
from asyncio import StreamReader, StreamWriter
from typing import Any

import asyncpg  # type: ignore[import-untyped]
from sqlalchemy import event, make_url
from sqlalchemy.exc import DisconnectionError
from sqlalchemy.ext.asyncio import create_async_engine

URL = make_url(os.environ["DATABASE_URL"])
GONE = TimeoutError, OSError, asyncpg.InterfaceError, asyncpg.PostgresError
CUT = asyncpg.InternalClientError  # "cannot switch to state ..."
intact: set[StreamWriter] = set()


async def proxy(reader: StreamReader, writer: StreamWriter) -> None:
    async def forward(source: StreamReader, target: StreamWriter) -> None:
        intact.add(target)
        while data := await source.read(65536):
            target.write(data if target in intact else b"")
        target.close()

    server = await asyncio.open_connection(URL.host, URL.port or 5432)
    await asyncio.gather(forward(reader, server[1]), forward(server[0], writer))


def ping(connection: Any, *_: object) -> None:
    try:
        connection.run_async(lambda it: it.execute("SELECT 1", timeout=0.5))
    except (*GONE, CUT) as error:
        connection.driver_connection.terminate()
        raise DisconnectionError from error


async def main() -> None:
    listener = await asyncio.start_server(proxy, "127.0.0.1", 0)
    url = URL.set(host="127.0.0.1", port=listener.sockets[0].getsockname()[1])
    usual = create_async_engine(url, pool_pre_ping=True)
    careful = create_async_engine(url)
    event.listen(careful.sync_engine, "checkout", ping)
    for way, engine in (("pre-ping", usual), ("own ping", careful)):
        await (await engine.connect()).close()
        intact.clear()
        try:
            async with asyncio.timeout(3), engine.connect():
                served = "served"
        except TimeoutError:
            served = "still waiting after 3 seconds"
        print(f"{way}: {served}")
        #> pre-ping: still waiting after 3 seconds
        #> own ping: served
        await engine.dispose()
    listener.close()


asyncio.run(main())
