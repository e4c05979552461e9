"""Two hosts in the URL: asyncpg has one limit for all, psycopg one for each.

URL 里写两个主机：asyncpg 的时限是全部合计，psycopg 是每个主机各算。
"""

import asyncio
import os
from asyncio import StreamReader, StreamWriter

from sqlalchemy import make_url, text
from sqlalchemy.ext.asyncio import create_async_engine

DATABASE = make_url(os.environ["DATABASE_URL"])
SECOND = f"{DATABASE.host}:{DATABASE.port or 5432}"
LIMITS = {"asyncpg": {"timeout": 2}, "psycopg": {"connect_timeout": 2}}
REFUSED = 1


async def order(first: int, driver: str) -> str:
    hosts = f"127.0.0.1:{first}", SECOND
    url = DATABASE.set(
        drivername=f"postgresql+{driver}",
        host="",
        query={**DATABASE.query, "host": hosts},
    )
    engine = create_async_engine(
        url,
        connect_args={"target_session_attrs": "read-write", **LIMITS[driver]},
    )
    try:
        async with engine.connect() as connection:
            return str(await connection.scalar(text("SELECT 'oolong'")))
    except Exception as error:
        return type(error).__name__
    finally:
        await engine.dispose()


async def stay_silent(reader: StreamReader, writer: StreamWriter) -> None:
    await reader.read()
    writer.close()


async def main() -> None:
    listener = await asyncio.start_server(stay_silent, "127.0.0.1", 0)
    silent = listener.sockets[0].getsockname()[1]
    for first, port in {"refused": REFUSED, "silent": silent}.items():
        for driver in ("asyncpg", "psycopg"):
            print(f"{first}, {driver}:", await order(port, driver))
            #> refused, asyncpg: oolong
            #> refused, psycopg: oolong
            #> silent, asyncpg: TimeoutError
            #> silent, psycopg: oolong
    listener.close()


asyncio.run(main())
