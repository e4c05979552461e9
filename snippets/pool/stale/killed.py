"""After a restart one session fails, and the whole pool is renewed.

数据库重启之后，一个会话报错，整个池换新。
"""

import asyncio
import os
from typing import Any

from sqlalchemy import NullPool, event, text
from sqlalchemy.exc import DBAPIError
from sqlalchemy.ext.asyncio import async_sessionmaker, create_async_engine

URL = os.environ["DATABASE_URL"]
NAME = {"server_settings": {"application_name": "teahouse"}}
watcher = create_async_engine(URL, poolclass=NullPool)


async def on_the_server(function: str) -> int:
    query = f"""SELECT count({function}) FROM pg_stat_activity
        WHERE application_name = 'teahouse' AND datname = current_database()"""
    async with watcher.connect() as connection:
        return await connection.scalar(text(query)) or 0


async def restart_under(**options: Any) -> None:
    engine = create_async_engine(URL, connect_args=NAME, **options)
    async_session = async_sessionmaker(engine)
    lines: list[Any] = []
    event.listen(
        engine.sync_engine,
        "connect",
        lambda connection, _: lines.append(connection.driver_connection),
    )
    lent = [await engine.connect() for _ in range(3)]
    for connection in lent:
        await connection.close()

    await on_the_server("pg_terminate_backend(pid, 10000)")
    while not all(line.is_closed() for line in lines):
        await asyncio.sleep(0)
    print(engine.pool.status(), "alive:", await on_the_server("*"))
    #> x
    for guest in range(1, 4):
        try:
            async with async_session() as session:
                served = await session.scalar(text("SELECT 'oolong'"))
        except DBAPIError as error:
            served = f"{type(error).__name__}: {error.orig}"
        print(f"guest {guest}: {served}")
        #> x
    await engine.dispose()


async def main() -> None:
    await restart_under()
    await restart_under(pool_pre_ping=True)


asyncio.run(main())
