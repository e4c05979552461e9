"""Settings, temporary tables and locks stay behind for the next session.

设置、临时表、咨询锁都留在连接上，下一个会话会碰到。
"""

import asyncio
import os
from secrets import randbits

from sqlalchemy import text
from sqlalchemy.ext.asyncio import async_sessionmaker, create_async_engine

engine = create_async_engine(os.environ["DATABASE_URL"])
async_session = async_sessionmaker(engine)
LOCK = randbits(62)
FOR_THE_SESSION = (
    "SET statement_timeout = '5s'",
    "CREATE TEMPORARY TABLE tray (drink text)",
    f"SELECT pg_advisory_lock({LOCK})",
)
FOR_THE_TRANSACTION = (
    "SET LOCAL statement_timeout = '5s'",
    "CREATE TEMPORARY TABLE tray (drink text) ON COMMIT DROP",
    f"SELECT pg_advisory_xact_lock({LOCK})",
)
FOUND = text("""
    SELECT current_setting('statement_timeout') AS timeout,
        to_regclass('pg_temp.tray') IS NOT NULL AS tray,
        EXISTS (SELECT FROM pg_locks WHERE locktype = 'advisory'
            AND pid = pg_backend_pid()) AS lock
""")


async def leave(statements: tuple[str, ...], commit: bool) -> str:
    async with async_session() as session:
        for statement in statements:
            await session.execute(text(statement))
        if commit:
            await session.commit()
    async with async_session() as session:
        found = (await session.execute(FOUND)).one()
    await engine.dispose()
    return f"timeout {found.timeout}, tray {found.tray}, lock {found.lock}"


async def main() -> None:
    print("commit()       :", await leave(FOR_THE_SESSION, True))
    #> commit()       : timeout 5s, tray True, lock True
    print("no commit      :", await leave(FOR_THE_SESSION, False))
    #> no commit      : timeout 0, tray False, lock True
    print("LOCAL, commit():", await leave(FOR_THE_TRANSACTION, True))
    #> LOCAL, commit(): timeout 0, tray False, lock False


asyncio.run(main())
