"""What pre-ping costs in round trips, on both drivers.

预检要多花几趟往返，两个驱动各是多少。
"""

import asyncio
import os
from asyncio import StreamReader, StreamWriter

from sqlalchemy import make_url, text
from sqlalchemy.ext.asyncio import create_async_engine

URL = make_url(os.environ["DATABASE_URL"])
messages: list[str] = []
done = asyncio.Event()


async def proxy(reader: StreamReader, writer: StreamWriter) -> None:
    async def forward(who: str, source: StreamReader, to: StreamWriter) -> None:
        while data := await source.read(65536):
            if messages[-1:] != [who]:
                messages.append(who)
            to.write(data)
        to.close()

    server = await asyncio.open_connection(URL.host, URL.port or 5432)
    done.clear()
    to_server = forward("client", reader, server[1])
    await asyncio.gather(to_server, forward("server", server[0], writer))
    done.set()


async def count(driver: str, isolation: str, port: int, pre_ping: bool) -> int:
    engine = create_async_engine(
        URL.set(drivername=f"postgresql+{driver}", host="127.0.0.1", port=port),
        pool_pre_ping=pre_ping,
        isolation_level=isolation,
    )
    for _ in range(3):
        messages.clear()
        async with engine.connect() as connection:
            await connection.execute(text("SELECT 'oolong'"))
        trips = messages.count("client")
    await engine.dispose()
    await done.wait()
    return trips


async def main() -> None:
    listener = await asyncio.start_server(proxy, "127.0.0.1", 0)
    _, port = listener.sockets[0].getsockname()
    for driver in ("asyncpg", "psycopg"):
        for isolation in ("READ COMMITTED", "AUTOCOMMIT"):
            usual = await count(driver, isolation, port, False)
            pinged = await count(driver, isolation, port, True)
            print(f"{driver}, {isolation}: {usual}, with pre-ping {pinged}")
            #> asyncpg, READ COMMITTED: 3, with pre-ping 6
            #> asyncpg, AUTOCOMMIT: 1, with pre-ping 2
            #> psycopg, READ COMMITTED: 3, with pre-ping 4
            #> psycopg, AUTOCOMMIT: 1, with pre-ping 2
    listener.close()


asyncio.run(main())
