"""After a restart one session fails, and the whole pool is renewed.

数据库重启之后，一个会话报错，整个池换新。
"""

import asyncio
import os
from typing import Any

from sqlalchemy import NullPool, event, text
from sqlalchemy.exc import DBAPIError
from sqlalchemy.ext.asyncio import AsyncEngine, create_async_engine

URL = os.environ["DATABASE_URL"]
watcher = create_async_engine(URL, poolclass=NullPool)


async def on_the_server(lines: list[Any], function: str = "*") -> int:
    query = f"""SELECT count({function}) FROM pg_stat_activity
        WHERE pid = ANY(:pids)"""
    pids = [line.get_server_pid() for line in lines]
    async with watcher.connect() as connection:
        return await connection.scalar(text(query), {"pids": pids}) or 0


async def serve(engine: AsyncEngine) -> str:
    try:
        async with engine.connect() as connection:
            return str(await connection.scalar(text("SELECT 'oolong'")))
    except DBAPIError as error:
        return f"{type(error).__name__}: {error.orig}"


async def main() -> None:
    for pre_ping in (False, True):
        engine = create_async_engine(URL, pool_pre_ping=pre_ping)
        lines: list[Any] = []
        event.listen(
            engine.sync_engine,
            "connect",
            lambda line, _, lines=lines: lines.append(line.driver_connection),
        )
        for lent in [await engine.connect() for _ in range(3)]:
            await lent.close()
        await on_the_server(lines, "pg_terminate_backend(pid, 10000)")
        while not all(line.is_closed() for line in lines):
            await on_the_server(lines)
        alive, status = await on_the_server(lines), engine.pool.status()
        served = [await serve(engine) for _ in range(3)]
        print(f"pre-ping {pre_ping}:", "; ".join(served))
        #> pre-ping False: InterfaceError: connection is closed; oolong; oolong
        #> pre-ping True: oolong; oolong; oolong
        await engine.dispose()
    print("after the restart, alive:", alive)
    #> after the restart, alive: 0
    print(status)
    #> Pool size: 5  Connections in pool: 3 Current Overflow: -2 Current Checked out connections: 0


asyncio.run(main())
