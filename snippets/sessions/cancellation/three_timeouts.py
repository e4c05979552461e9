"""Three timeouts: what each of them raises, and which one keeps the connection.

三种超时：各抛什么异常，哪一种保得住连接。
"""

import asyncio
import os
from traceback import format_exception_only
from typing import Any

from sqlalchemy import event, text
from sqlalchemy.exc import DBAPIError
from sqlalchemy.ext.asyncio import async_sessionmaker, create_async_engine

URL = os.environ["DATABASE_URL"]


async def brew(name: str, limit: float | None, **connect_args: Any) -> None:
    engine = create_async_engine(URL, connect_args=connect_args)
    async_session = async_sessionmaker(engine)
    opened: list[str] = []
    event.listen(engine.sync_engine, "connect", lambda *_: opened.append(name))
    try:
        async with asyncio.timeout(limit), async_session() as session:
            await session.execute(text("SELECT pg_sleep(60)"))
    except (TimeoutError, DBAPIError) as error:
        raised = format_exception_only(error)[0].partition("\n")[0]
    async with async_session() as session:
        await session.execute(text("SELECT 'oolong'"))
    print(f"{name}, connections {len(opened)}: {raised}")
    #> asyncio.timeout, connections 2: TimeoutError
    #> command_timeout, connections 2: TimeoutError
    #> statement_timeout, connections 1: sqlalchemy.exc.DBAPIError: (sqlalchemy.dialects.postgresql.asyncpg.Error) canceling statement due to statement timeout
    await engine.dispose()


async def main() -> None:
    await brew("asyncio.timeout", 1)
    await brew("command_timeout", None, command_timeout=1)
    settings = {"statement_timeout": "1s"}
    await brew("statement_timeout", None, server_settings=settings)


asyncio.run(main())
