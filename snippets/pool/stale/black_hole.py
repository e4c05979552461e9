"""On a line that swallows everything, pre-ping waits for ever.

线路吞掉一切，预检就一直等下去。
"""

import asyncio
import os
from asyncio import StreamReader, StreamWriter
from typing import Any

from asyncpg import InterfaceError, PostgresError
from sqlalchemy import event, make_url, text
from sqlalchemy.exc import InvalidatePoolError
from sqlalchemy.ext.asyncio import AsyncEngine, create_async_engine

URL = make_url(os.environ["DATABASE_URL"])
PING = "SELECT 1"
lines: set[StreamWriter] = set()
broken: set[StreamWriter] = set()


async def forward(source: StreamReader, target: StreamWriter) -> None:
    lines.add(target)
    while data := await source.read(65536):
        if target not in broken:
            target.write(data)
    target.close()


async def proxy(reader: StreamReader, writer: StreamWriter) -> None:
    server = await asyncio.open_connection(URL.host, URL.port or 5432)
    async with asyncio.TaskGroup() as both:
        both.create_task(forward(reader, server[1]))
        both.create_task(forward(server[0], writer))


def ping_within(seconds: float, engine: AsyncEngine) -> None:
    @event.listens_for(engine.sync_engine, "checkout")
    def ping(connection: Any, *_: object) -> None:
        try:
            connection.run_async(lambda it: it.execute(PING, timeout=seconds))
        except (TimeoutError, OSError, InterfaceError, PostgresError) as error:
            connection.driver_connection.terminate()
            raise InvalidatePoolError from error


async def serve(way: str, engine: AsyncEngine) -> None:
    for lent in [await engine.connect() for _ in range(2)]:
        await lent.close()
    broken.update(lines)
    for guest in range(1, 4):
        try:
            async with asyncio.timeout(2) as patience, engine.connect() as it:
                served = await it.scalar(text("SELECT 'oolong'"))
        except TimeoutError:
            served = "gave up" if patience.expired() else "TimeoutError"
        print(f"{way}, guest {guest}: {served}")
        #> x
    await engine.dispose()


async def main() -> None:
    listener = await asyncio.start_server(proxy, "127.0.0.1", 0)
    port = listener.sockets[0].getsockname()[1]
    url = URL.set(host="127.0.0.1", port=port)
    await serve("pre-ping", create_async_engine(url, pool_pre_ping=True))
    limit = {"command_timeout": 0.5}
    await serve(
        "command_timeout",
        create_async_engine(url, pool_pre_ping=True, connect_args=limit),
    )
    engine = create_async_engine(url)
    ping_within(0.5, engine)
    await serve("own ping", engine)
    listener.close()


asyncio.run(main())
