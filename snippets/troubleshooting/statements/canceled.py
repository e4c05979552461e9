"""Three reasons to cancel a statement; the connection stays, after a rollback.

取消一条 SQL 有三种原因；连接没断，回滚之后还能用。
"""

import asyncio
import os
from secrets import randbits

from sqlalchemy import text
from sqlalchemy.exc import DBAPIError
from sqlalchemy.ext.asyncio import AsyncSession, create_async_engine

LOCK = text(f"SELECT pg_advisory_xact_lock({randbits(62)})")
REPORT = text("SELECT pg_sleep(1.5), 'report'")
ITSELF = text("SELECT pg_cancel_backend(pg_backend_pid()), pg_sleep(60)")
PID = text("SELECT pg_backend_pid()")
LIMITS = {"statement_timeout": "1s", "lock_timeout": "100ms"}
engine = create_async_engine(
    os.environ["DATABASE_URL"], connect_args={"server_settings": LIMITS}
)


async def main() -> None:
    async with AsyncSession(engine) as holder, AsyncSession(engine) as session:
        await holder.execute(LOCK)
        pid = await session.scalar(PID)
        for statement in REPORT, LOCK, ITSELF:
            try:
                await session.execute(statement)
            except DBAPIError as error:
                print(getattr(error.orig, "sqlstate", None), error.orig)
                #> 57014 canceling statement due to statement timeout
                #> 55P03 canceling statement due to lock timeout
                #> 57014 canceling statement due to user request
            await session.rollback()
        print("same connection:", await session.scalar(PID) == pid)
        #> same connection: True

        await session.execute(text("SET LOCAL statement_timeout = '5min'"))
        print(*(await session.execute(REPORT)).scalars("?column?"))
        #> report
        await holder.commit()
        done = (await session.execute(LOCK)).all()
        print("no longer locked:", len(done), "row")
        #> no longer locked: 1 row
    await engine.dispose()


asyncio.run(main())
