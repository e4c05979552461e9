"""The line is reset during a query; the next one gets a new connection.

查询途中连接被重置（RST）；下一条查询用的是新连接。
"""

import asyncio
import os
import struct
from asyncio import StreamReader, StreamWriter
from socket import SO_LINGER, SOL_SOCKET

from sqlalchemy import make_url, text
from sqlalchemy.exc import DBAPIError
from sqlalchemy.ext.asyncio import AsyncEngine, create_async_engine

URL = make_url(os.environ["DATABASE_URL"])
reset = False


async def forward(source: StreamReader, target: StreamWriter) -> None:
    while (data := await source.read(65536)) and not reset:
        target.write(data)
    line = target.get_extra_info("socket")
    line.setsockopt(SOL_SOCKET, SO_LINGER, struct.pack("ii", reset, 0))
    target.transport.abort()


async def proxy(reader: StreamReader, writer: StreamWriter) -> None:
    back, server = await asyncio.open_connection(URL.host, URL.port or 5432)
    await asyncio.gather(forward(reader, server), forward(back, writer))


async def ask(engine: AsyncEngine, cut: bool) -> str:
    global reset
    try:
        async with engine.connect() as connection:
            reset = cut
            return str(await connection.scalar(text("SELECT 'oolong'")))
    except DBAPIError as error:
        return f"{type(error).__name__}: {str(error.orig).splitlines()[0]}"
    finally:
        reset = False


async def main() -> None:
    listener = await asyncio.start_server(proxy, "127.0.0.1", 0)
    url = URL.set(host="127.0.0.1", port=listener.sockets[0].getsockname()[1])
    for driver in ("psycopg", "asyncpg"):
        engine = create_async_engine(url.set(drivername=f"postgresql+{driver}"))
        for cut in (True, False):
            print(driver, await ask(engine, cut))
            #> psycopg OperationalError: consuming input failed: server closed the connection unexpectedly
            #> psycopg oolong
            #> asyncpg DBAPIError: connection was closed in the middle of operation
            #> asyncpg oolong
        await engine.dispose()
    listener.close()


asyncio.run(main())
