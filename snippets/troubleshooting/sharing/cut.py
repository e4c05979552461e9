"""The server ended the line a moment ago: cannot switch to state.

服务端刚刚断开连接，这一刻发查询：cannot switch to state。
"""

import asyncio
import os

from sqlalchemy import create_engine, make_url, text
from sqlalchemy.exc import InternalError
from sqlalchemy.ext.asyncio import create_async_engine

URL = make_url(os.environ["DATABASE_URL"])
engine = create_async_engine(URL)
watcher = create_engine(URL.set(drivername="postgresql+psycopg"))
PID = text("SELECT pg_backend_pid()")
END = text("SELECT pg_terminate_backend(:pid, 5000)")


async def main() -> None:
    async with engine.connect() as connection:
        pid = await connection.scalar(PID)
        with watcher.connect() as blocking:  # the loop stands still
            blocking.execute(END, {"pid": pid})
        await asyncio.sleep(0)
        await asyncio.sleep(0)
        try:
            await connection.execute(text("SELECT 'oolong'"))
        except InternalError as error:
            print(error.orig)
            #> cannot switch to state 11; another operation (2) is in progress
            print("invalidated:", error.connection_invalidated)
            #> invalidated: True

    async with engine.connect() as connection:
        print("next:", await connection.scalar(text("SELECT 'oolong'")))
        #> next: oolong
    await engine.dispose()
    watcher.dispose()


asyncio.run(main())
