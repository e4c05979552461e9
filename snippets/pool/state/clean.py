"""A listener that cleans a connection on return; DISCARD ALL is too much.

归还时清理连接的监听器；用 DISCARD ALL 就清过头了。
"""

import asyncio
import os
import re
from secrets import randbits
from typing import Any

from sqlalchemy import PoolResetState, event, text
from sqlalchemy.exc import DBAPIError
from sqlalchemy.ext.asyncio import AsyncSession, create_async_engine

CLEAN = """SET SESSION AUTHORIZATION DEFAULT; RESET ROLE; RESET ALL;
    SELECT pg_advisory_unlock_all(); UNLISTEN *; CLOSE ALL;
    DISCARD TEMP; DISCARD SEQUENCES"""
LEAVE = f"""SET statement_timeout = '5s'; CREATE TEMPORARY TABLE tray (id int);
    SELECT set_config('role', current_user, false);
    SELECT pg_advisory_lock({randbits(62)})""".split(";")
FOUND = text("""
    SELECT current_setting('statement_timeout') AS timeout,
        current_setting('role') AS role,
        to_regclass('pg_temp.tray') IS NOT NULL AS tray,
        EXISTS (SELECT FROM pg_locks WHERE locktype = 'advisory'
            AND pid = pg_backend_pid()) AS lock
""")


async def left_after(cleaning: str) -> str:
    engine = create_async_engine(os.environ["DATABASE_URL"])

    @event.listens_for(engine.sync_engine, "reset")
    def clean(connection: Any, _: object, reset: PoolResetState) -> None:
        if reset.asyncio_safe and not reset.terminate_only:
            connection.rollback()
            connection.run_async(lambda driver: driver.execute(cleaning))

    try:
        for _ in range(2):
            async with AsyncSession(engine) as session:
                for statement in LEAVE:
                    await session.execute(text(statement))
                await session.commit()
            async with AsyncSession(engine) as session:
                found = (await session.execute(FOUND)).one()
        return str(found._asdict())
    except DBAPIError as error:
        return re.sub(r'"\w+"', '"..."', str(error.orig).splitlines()[0])
    finally:
        await engine.dispose()


async def main() -> None:
    print("CLEAN:", await left_after(CLEAN))
    #> CLEAN: {'timeout': '0', 'role': 'none', 'tray': False, 'lock': False}
    print("DISCARD ALL:", await left_after("DISCARD ALL"))
    #> DISCARD ALL: prepared statement "..." does not exist


asyncio.run(main())
