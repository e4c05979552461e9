"""A pre-ping looks once, at check-out: a connection cut later still fails.

预检只在借出时查一次：之后断开的连接照样报错。
"""

import asyncio
import os

from sqlalchemy import text
from sqlalchemy.exc import DBAPIError
from sqlalchemy.ext.asyncio import create_async_engine

engine = create_async_engine(os.environ["DATABASE_URL"], pool_pre_ping=True)


async def main() -> None:
    async with engine.connect() as guest, engine.connect() as server:
        pid = await guest.scalar(text("SELECT pg_backend_pid()"))
        end = text("SELECT pg_terminate_backend(:pid, 5000)")
        print("terminated:", await server.scalar(end, {"pid": pid}))
        #> terminated: True
        try:
            await guest.execute(text("SELECT 'pu-erh'"))
        except DBAPIError as error:
            print("connection_invalidated:", error.connection_invalidated)
            #> connection_invalidated: True
    await engine.dispose()


asyncio.run(main())
