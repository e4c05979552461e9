"""Cancelled in its commit, a task does not know that the row is there.

提交途中被取消，任务并不知道那一行已经写进去了。
"""

import asyncio
import os
from secrets import token_hex

from sqlalchemy import event, text
from sqlalchemy.ext.asyncio import async_sessionmaker, create_async_engine

engine = create_async_engine(os.environ["DATABASE_URL"])
async_session = async_sessionmaker(engine)
ORDERS = f"guide_orders_{token_hex(4)}"
INSERT = text(f"INSERT INTO {ORDERS} VALUES ('longjing')")
happened: list[str] = []


async def own_commit() -> None:
    async with async_session() as session:
        await session.execute(INSERT)
        await session.commit()


async def factory_begin() -> None:
    async with async_session.begin() as session:
        await session.execute(INSERT)


def note(name: str) -> None:
    event.listen(engine.sync_engine, name, lambda *_: happened.append(name))


def cancel_on_commit(task: asyncio.Task[None]) -> None:
    event.listen(
        engine.sync_engine, "commit", lambda _: task.cancel(), once=True
    )


async def main() -> None:
    async with engine.begin() as connection:
        await connection.execute(text(f"CREATE TABLE {ORDERS} (drink text)"))
    for name in ("commit", "invalidate", "close", "checkin"):
        note(name)
    for work in (own_commit, factory_begin):
        happened.clear()
        task = asyncio.create_task(work())
        cancel_on_commit(task)
        await asyncio.wait([task])
        print(f"{work.__name__}, cancelled {task.cancelled()}:", happened)
        #> own_commit, cancelled True: ['commit', 'invalidate', 'close', 'checkin']
        #> factory_begin, cancelled True: ['commit', 'checkin']
    async with engine.begin() as connection:
        rows = await connection.scalars(text(f"TABLE {ORDERS}"))
        print("on the server:", rows.all())
        #> on the server: ['longjing', 'longjing']
        await connection.execute(text(f"DROP TABLE {ORDERS}"))
    await engine.dispose()


asyncio.run(main())
