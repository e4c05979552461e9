"""PostgreSQL is away: the unit of work is tried again until it is back.

PostgreSQL 停了一阵子：隔一会儿把整个事务从头重做一遍，直到它恢复。
"""

import asyncio
import os
from collections.abc import Awaitable, Callable
from itertools import count
from random import random
from typing import Any

from sqlalchemy import event, text
from sqlalchemy.ext.asyncio import AsyncSession, create_async_engine

engine = create_async_engine(os.environ["DATABASE_URL"], pool_pre_ping=True)
TRANSIENT = {"08003", "57P01", "57P03", "53300", "25006", "40001", "40P01"}
END = text("SELECT pg_terminate_backend(pg_backend_pid())")
errors: list[str] = []


@event.listens_for(engine.sync_engine, "do_connect")
def connect(_: object, record: object, args: object, options: Any) -> None:
    if 0 < len(errors) < 3:  # away: nobody listens
        options["port"] = 1


def is_transient(error: Exception) -> bool:
    sqlstate = getattr(getattr(error, "orig", error), "sqlstate", None)
    lost = getattr(error, "connection_invalidated", False)
    no_primary = "None of the hosts match" in str(error)
    unreachable = lost or no_primary or isinstance(error, OSError)
    return unreachable or sqlstate in TRANSIENT


async def run(work: Callable[[AsyncSession], Awaitable[str]]) -> str:
    async with asyncio.timeout(30):
        for attempt in count():
            try:
                async with AsyncSession(engine) as session, session.begin():
                    return await work(session)
            except Exception as error:
                if not is_transient(error):
                    raise
                errors.append(type(error).__name__)
            await asyncio.sleep(random() * min(5, 0.1 * 2**attempt))
    raise AssertionError


async def order(session: AsyncSession) -> str:
    await session.execute(text("SELECT 1") if errors else END)
    return "oolong"


async def main() -> None:
    print(await run(order), "after", errors)
    #> oolong after ['DBAPIError', 'ConnectionRefusedError', 'ConnectionRefusedError']
    await engine.dispose()


asyncio.run(main())
