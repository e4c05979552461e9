"""Ten connections of the pool, and one of the server does the work of all.

池里有十个连接，服务端只用一个连接就全部处理完了。
"""

import asyncio
import os
from contextlib import AsyncExitStack

from sqlalchemy import text
from sqlalchemy.ext.asyncio import create_async_engine

URL = os.environ["DATABASE_URL"]
CURE = {"statement_cache_size": 0, "prepared_statement_cache_size": 0}


async def main() -> None:
    engine = create_async_engine(URL, pool_size=10, connect_args=CURE)
    backends = set()
    async with AsyncExitStack() as lent:
        for _ in range(10):
            connection = await lent.enter_async_context(engine.connect())
            backends.add(
                await connection.scalar(text("SELECT pg_backend_pid()"))
            )
            await connection.commit()
        print(engine.pool.status())
        #> Pool size: 10  Connections in pool: 0 Current Overflow: 0 Current Checked out connections: 10
        print("server connections:", len(backends))
        #> server connections: 1
    await engine.dispose()


asyncio.run(main())
