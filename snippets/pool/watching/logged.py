"""At INFO the pool logs connections that end, but no waiting and no timeout.

INFO 级别只记连接的终结；借还要到 DEBUG 才有，排队和超时哪一级都没有。
"""

import asyncio
import logging
import os
import re

from sqlalchemy import exc
from sqlalchemy.ext.asyncio import create_async_engine


class Show(logging.Handler):
    def emit(self, record: logging.LogRecord) -> None:
        message = re.sub("<.*>", "...", record.getMessage())
        print(f"{record.levelname:5} {message}")
        #> DEBUG Created new connection ...
        #> DEBUG Connection ... checked out from pool
        #> INFO  (here a task got no connection: no line says so)
        #> DEBUG Connection ... being returned to pool
        #> DEBUG Connection ... rollback-on-return
        #> DEBUG Connection ... checked out from pool
        #> INFO  Invalidate connection ...
        #> DEBUG Hard-closing connection ...
        #> INFO  Pool disposed. Pool size: 1  Connections in pool: 0 Current Overflow: -1 Current Checked out connections: 0
        #> INFO  Pool recreating


pool_log = logging.getLogger("sqlalchemy.pool")
pool_log.setLevel(logging.DEBUG)
pool_log.addHandler(Show())
engine = create_async_engine(
    os.environ["DATABASE_URL"], pool_size=1, max_overflow=0, pool_timeout=0
)


async def main() -> None:
    async with engine.connect():
        try:
            await engine.connect()
        except exc.TimeoutError:
            pool_log.info("(here a task got no connection: no line says so)")
    async with engine.connect() as connection:
        await connection.invalidate()
    await engine.dispose()


asyncio.run(main())
