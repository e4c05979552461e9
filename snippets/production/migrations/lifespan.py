"""While a migration in lifespan waits for a lock, the server does not listen.

lifespan 里的迁移在等锁，服务器就一直不监听端口。
"""

import asyncio
import os
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from secrets import token_hex

import uvicorn
from fastapi import FastAPI
from sqlalchemy import text
from sqlalchemy.ext.asyncio import create_async_engine

ORDERS = f"guide_orders_{token_hex(4)}"
CREATE = text(f"CREATE TABLE {ORDERS} (drink text)")
MIGRATION = text(f"ALTER TABLE {ORDERS} ADD price int")
WAITS = text("""SELECT 1 FROM pg_stat_activity
    WHERE :pid = ANY (pg_blocking_pids(pid))""")
engine = create_async_engine(os.environ["DATABASE_URL"])
watching = create_async_engine(engine.url, isolation_level="AUTOCOMMIT")


@asynccontextmanager
async def lifespan(app: FastAPI) -> AsyncIterator[None]:
    async with engine.begin() as connection:
        await connection.execute(MIGRATION)
    yield
    await engine.dispose()


async def main() -> None:
    app = FastAPI(lifespan=lifespan)
    server = uvicorn.Server(uvicorn.Config(app, port=0, log_level="critical"))
    async with watching.connect() as watcher:
        await watcher.execute(CREATE)
        async with engine.connect() as old_pod:
            pid = await old_pod.scalar(text("SELECT pg_backend_pid()"))
            await old_pod.execute(text(f"SELECT drink FROM {ORDERS}"))
            serving = asyncio.create_task(server.serve())
            while not await watcher.scalar(WAITS, {"pid": pid}):
                pass
            print("a reader is in the way, listening:", server.started)
            #> a reader is in the way, listening: False
        while not server.started:
            await asyncio.sleep(0.01)
        print("the reader has ended, listening:", server.started)
        #> the reader has ended, listening: True
        server.should_exit = True
        await serving
        await watcher.execute(text(f"DROP TABLE {ORDERS}"))
    await watching.dispose()


asyncio.run(main())
