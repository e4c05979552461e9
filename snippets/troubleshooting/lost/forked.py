"""A forked child disposes, and its parent's connection is gone.

fork 出来的子进程 dispose()，父进程的连接就断了。
"""

import asyncio
import multiprocessing
import os

from sqlalchemy import make_url, text
from sqlalchemy.exc import OperationalError
from sqlalchemy.ext.asyncio import create_async_engine

URL = make_url(os.environ["DATABASE_URL"]).set(drivername="postgresql+psycopg")
fork = multiprocessing.get_context("fork")
engine = create_async_engine(URL, connect_args={"connect_timeout": 10})
kept: list[object] = []


async def brew() -> str:
    async with engine.connect() as connection:
        return str(await connection.scalar(text("SELECT 'oolong'")))


def child(close: bool) -> None:
    kept.append(engine.pool)  # not collected in this process
    asyncio.run(engine.dispose(close=close))


async def main() -> None:
    for close in (True, False):
        await brew()
        process = fork.Process(target=child, args=[close])
        process.start()
        process.join()
        try:
            tea = await brew()
        except OperationalError as error:
            tea = str(error.orig).splitlines()[0]
        print(f"child: dispose(close={close}), parent: {tea}")
        #> child: dispose(close=True), parent: consuming input failed: server closed the connection unexpectedly
        #> child: dispose(close=False), parent: oolong
    await engine.dispose()


asyncio.run(main())
