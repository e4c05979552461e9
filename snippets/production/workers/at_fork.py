"""A forked child begins with an empty pool: os.register_at_fork.

用 os.register_at_fork，fork 出来的子进程自动从空的连接池开始。
"""

import asyncio
import gc
import os
from multiprocessing import get_context

from sqlalchemy import text
from sqlalchemy.ext.asyncio import create_async_engine

engine = create_async_engine(os.environ["DATABASE_URL"])
inherited: list[object] = []


def forget_connections() -> None:
    inherited.append(engine.pool)  # collected, it would deafen the parent
    engine.sync_engine.dispose(close=False)


os.register_at_fork(after_in_child=forget_connections)


async def backend() -> int:
    async with asyncio.timeout(20), engine.connect() as connection:
        query = text("SELECT pg_backend_pid()")
        return int(await connection.scalar(query) or 0)


def child() -> None:
    os.write(writer, b"%d " % asyncio.run(backend()))
    gc.collect()  # as it happens sooner or later


reader, writer = os.pipe()


async def main() -> None:
    before = await backend()
    for _ in range(2):
        process = get_context("fork").Process(target=child)
        process.start()
        process.join()
    backends = {before, *map(int, os.read(reader, 100).split())}
    print("backends of parent and two children:", len(backends))
    #> backends of parent and two children: 3
    print("parent still has its old one:", await backend() == before)
    #> parent still has its old one: True
    await engine.dispose()


asyncio.run(main())
