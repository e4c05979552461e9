"""A forked child leaves its parent's connections alone: dispose(close=False).

fork 出来的子进程用 dispose(close=False)，不动父进程的连接。
"""

import asyncio
import multiprocessing
import os
from multiprocessing.connection import Connection

from sqlalchemy import text
from sqlalchemy.ext.asyncio import create_async_engine

fork = multiprocessing.get_context("fork")
engine = create_async_engine(os.environ["DATABASE_URL"])
kept: list[object] = []


async def backend() -> int:
    async with engine.connect() as connection:
        query = text("SELECT pg_backend_pid()")
        return int(await connection.scalar(query) or 0)


async def in_the_child() -> int:
    kept.append(engine.pool)  # collected here, it would deafen the parent
    await engine.dispose(close=False)
    pid = await backend()
    await engine.dispose()
    return pid


def child(answer: Connection) -> None:
    answer.send(asyncio.run(in_the_child()))


async def main() -> None:
    before = await backend()
    receiver, sender = fork.Pipe()
    process = fork.Process(target=child, args=[sender])
    process.start()
    sender.close()
    theirs = receiver.recv()
    process.join()
    print("child has a backend of its own:", theirs != before)
    #> child has a backend of its own: True
    print("parent still has its old one:", await backend() == before)
    #> parent still has its old one: True
    await engine.dispose()


asyncio.run(main())
