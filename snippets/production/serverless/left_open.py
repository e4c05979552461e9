"""A task left behind stands still between invocations, with its transaction.

没等完的任务，两次调用之间停在原地，事务也一直开着。
"""

import asyncio
import os

from sqlalchemy import NullPool, text
from sqlalchemy.ext.asyncio import AsyncEngine, create_async_engine

URL = os.environ["DATABASE_URL"]
NAME = f"teahouse_{os.urandom(4).hex()}"
STATE = f"SELECT state FROM pg_stat_activity WHERE application_name = '{NAME}'"
runner = asyncio.Runner()
paid = asyncio.Event()  # another service takes its time
left: list[asyncio.Task[None]] = []


def make_engine(**settings: str) -> AsyncEngine:
    named = {"server_settings": {"application_name": NAME, **settings}}
    return create_async_engine(URL, connect_args=named)


async def write_down(engine: AsyncEngine, begun: asyncio.Event) -> None:
    async with engine.begin() as connection:
        await connection.execute(text("SELECT 'oolong'"))
        begun.set()
        await paid.wait()


async def handle(engine: AsyncEngine) -> None:
    begun = asyncio.Event()
    left.append(asyncio.create_task(write_down(engine, begun)))
    await begun.wait()


async def handle_and_wait(engine: AsyncEngine) -> None:
    await handle(engine)
    paid.set()
    await left[-1]


async def look(until: str | None) -> str:
    watcher = create_async_engine(URL, poolclass=NullPool)
    async with watcher.connect() as connection:
        while (state := await connection.scalar(text(STATE))) != until:
            await connection.rollback()
    return state or "connection ended"


async def finish(engine: AsyncEngine) -> None:
    paid.set()
    await asyncio.gather(*left, return_exceptions=True)
    await engine.dispose()
    paid.clear()


plain = make_engine()
limited = make_engine(idle_in_transaction_session_timeout="500ms")
for how, handler, engine, until in (
    ("awaited", handle_and_wait, plain, "idle"),
    ("left behind", handle, plain, "idle in transaction"),
    ("left behind, with a limit", handle, limited, None),
):
    runner.run(handler(engine))
    print(f"{how}:", asyncio.run(look(until)))
    #> awaited: idle
    #> left behind: idle in transaction
    #> left behind, with a limit: connection ended
    runner.run(finish(engine))
runner.close()
