"""A limit for each host: a silent one costs a second, and the next is asked.

每个主机各有时限：第一个没有响应，一秒之后就连下一个。
"""

import asyncio
import os
from asyncio import StreamReader, StreamWriter
from typing import Any

import asyncpg  # type: ignore[import-untyped]
from sqlalchemy import make_url, text
from sqlalchemy.ext.asyncio import create_async_engine

URL = make_url(os.environ["DATABASE_URL"])
hosts = [(URL.host, URL.port or 5432)]
NEXT = (
    *(OSError, asyncpg.InterfaceError, asyncpg.PostgresError),
    asyncpg.InternalClientError,  # it only reads
)


async def connect() -> Any:
    failures: list[Exception] = []
    for host, port in hosts:
        try:
            return await asyncpg.connect(
                host=host,
                port=port,
                user=URL.username,
                password=URL.password,
                database=URL.database,
                target_session_attrs="read-write",
                timeout=1,
                command_timeout=10,
            )
        except NEXT as error:
            failures.append(error)
    raise ConnectionError(failures)


engine = create_async_engine(URL, async_creator=connect)


async def stay_silent(reader: StreamReader, writer: StreamWriter) -> None:
    await reader.read()
    writer.close()


async def main() -> None:
    listener = await asyncio.start_server(stay_silent, "127.0.0.1", 0)
    silent = listener.sockets[0].getsockname()
    hosts.insert(0, silent)
    async with engine.connect() as connection:
        print(await connection.scalar(text("SELECT 'oolong'")))
        #> oolong
    await engine.dispose()
    listener.close()


asyncio.run(main())
