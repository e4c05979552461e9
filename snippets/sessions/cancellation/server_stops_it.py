"""Two settings of PostgreSQL end a query that AnyIO has abandoned.

PostgreSQL 有两个设置，能让 AnyIO 扔下的查询停下来。
"""

import asyncio
import os

import anyio
from sqlalchemy import NullPool, text
from sqlalchemy.ext.asyncio import create_async_engine

URL = os.environ["DATABASE_URL"]
watcher = create_async_engine(URL, poolclass=NullPool)


async def running(expected: int) -> int:
    query = """SELECT count(*) FROM pg_stat_activity
        WHERE application_name = 'teahouse' AND wait_event = 'PgSleep'
        AND datname = current_database()"""
    async with asyncio.timeout(10):
        while True:
            async with watcher.connect() as connection:
                if await connection.scalar(text(query)) == expected:
                    return expected


async def abandon(setting: str, value: str) -> None:
    settings = {"application_name": "teahouse", setting: value}
    engine = create_async_engine(
        URL, connect_args={"server_settings": settings}
    )

    async def order() -> None:
        async with engine.connect() as connection:
            await connection.execute(text("SELECT pg_sleep(60)"))

    async with anyio.create_task_group() as tasks:
        tasks.start_soon(order)
        await running(1)
        tasks.cancel_scope.cancel()
    print(f"{setting}={value}: running on", await running(0))
    #> statement_timeout=2s: running on 0
    #> client_connection_check_interval=500ms: running on 0
    await engine.dispose()


async def main() -> None:
    await abandon("statement_timeout", "2s")
    await abandon("client_connection_check_interval", "500ms")


asyncio.run(main())
