"""What pre-ping costs in round trips, on both drivers.

预检要多花几趟往返，两个驱动各是多少。
"""

import asyncio
import os
from asyncio import StreamReader, StreamWriter

from sqlalchemy import make_url, text
from sqlalchemy.ext.asyncio import async_sessionmaker, create_async_engine

URL = make_url(os.environ["DATABASE_URL"])
messages: list[str] = []
done = asyncio.Event()


async def forward(who: str, source: StreamReader, target: StreamWriter) -> None:
    while data := await source.read(65536):
        if messages[-1:] != [who]:
            messages.append(who)
        target.write(data)
    target.close()


async def proxy(reader: StreamReader, writer: StreamWriter) -> None:
    server = await asyncio.open_connection(URL.host, URL.port or 5432)
    done.clear()
    await asyncio.gather(
        forward("client", reader, server[1]),
        forward("server", server[0], writer),
    )
    done.set()


async def count(driver: str, isolation: str, port: int, pre_ping: bool) -> int:
    engine = create_async_engine(
        URL.set(drivername=f"postgresql+{driver}", host="127.0.0.1", port=port),
        pool_pre_ping=pre_ping,
        isolation_level=isolation,
    )
    async_session = async_sessionmaker(engine)
    for _ in range(3):
        messages.clear()
        async with async_session() as session:
            await session.execute(text("SELECT 'oolong'"))
        trips = messages.count("client")
    await engine.dispose()
    await done.wait()
    return trips


async def main() -> None:
    listener = await asyncio.start_server(proxy, "127.0.0.1", 0)
    port = listener.sockets[0].getsockname()[1]
    for driver in ("asyncpg", "psycopg"):
        for isolation in ("READ COMMITTED", "AUTOCOMMIT"):
            one, two = [
                await count(driver, isolation, port, pre_ping)
                for pre_ping in (False, True)
            ]
            print(f"{driver}, {isolation}: {one}, with pre-ping {two}")
            #> x
    listener.close()


asyncio.run(main())
