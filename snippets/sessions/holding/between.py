"""One session, two backends: its temporary table is there every other time.

一个会话，两个服务端进程：它建的临时表时有时无。
"""

import asyncio
import os

from sqlalchemy import text
from sqlalchemy.ext.asyncio import async_sessionmaker, create_async_engine

engine = create_async_engine(os.environ["DATABASE_URL"])
async_session = async_sessionmaker(engine)
BACKEND = text("SELECT pg_backend_pid()")
MAKE_TRAY = text("CREATE TEMPORARY TABLE tray (drink text)")
TRAY = text("SELECT to_regclass('pg_temp.tray') IS NOT NULL")


async def main() -> None:
    async with engine.connect(), engine.connect():
        pass

    backends: list[int | None] = []
    async with async_session() as session:
        for number in range(1, 5):
            pid = await session.scalar(BACKEND)
            if pid not in backends:
                backends.append(pid)
            if number == 1:
                await session.execute(MAKE_TRAY)
            letter = "AB"[backends.index(pid)]
            print(f"{number}: on {letter}, tray {await session.scalar(TRAY)}")
            #> 1: on A, tray True
            #> 2: on B, tray False
            #> 3: on A, tray True
            #> 4: on B, tray False
            await session.commit()
    await engine.dispose()


asyncio.run(main())
