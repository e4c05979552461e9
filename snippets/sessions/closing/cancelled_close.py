"""Cancelled in close(): `async with` keeps the connection, yours loses it.

关闭途中被取消：async with 保住连接，自己写的 close() 丢掉连接。
"""

import asyncio
import os

from sqlalchemy import event, text
from sqlalchemy.ext.asyncio import async_sessionmaker, create_async_engine

engine = create_async_engine(os.environ["DATABASE_URL"])
async_session = async_sessionmaker(engine)
happened: list[str] = []


async def with_block() -> None:
    async with async_session() as session:
        await session.execute(text("SELECT 'oolong'"))


async def with_finally() -> None:
    session = async_session()
    try:
        await session.execute(text("SELECT 'oolong'"))
    finally:
        await session.close()


async def with_both() -> None:
    async with async_session() as session:
        await session.execute(text("SELECT 'oolong'"))
        await session.close()


def note(name: str) -> None:
    event.listen(engine.sync_engine, name, lambda *_: happened.append(name))


def cancel_on_rollback(task: asyncio.Task[None]) -> None:
    event.listen(
        engine.sync_engine, "rollback", lambda _: task.cancel(), once=True
    )


async def main() -> None:
    for name in ("rollback", "invalidate", "close", "checkin"):
        note(name)
    for work in (with_block, with_finally, with_both):
        happened.clear()
        task = asyncio.create_task(work())
        cancel_on_rollback(task)
        await asyncio.wait([task])
        print(f"{work.__name__}, cancelled {task.cancelled()}:", happened)
        #> with_block, cancelled True: ['rollback', 'checkin']
        #> with_finally, cancelled True: ['rollback', 'invalidate', 'close', 'checkin']
        #> with_both, cancelled True: ['rollback', 'invalidate', 'close', 'checkin']
    await engine.dispose()


asyncio.run(main())
