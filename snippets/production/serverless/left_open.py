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
left: list[asyncio.Task[None]] = []


def make_engine(**settings: str) -> AsyncEngine:
    named = {"server_settings": {"application_name": NAME, **settings}}
    return create_async_engine(URL, connect_args=named)


async def write_down(engine: AsyncEngine, begun: asyncio.Event) -> None:
    async with engine.begin() as connection:
        await connection.execute(text("SELECT 'oolong'"))
        begun.set()
        await asyncio.sleep(0.5)  # here your program would call a service


async def handle(engine: AsyncEngine, patient: bool) -> None:
    begun = asyncio.Event()
    left.append(asyncio.create_task(write_down(engine, begun)))
    await (left[-1] if patient else begun.wait())


async def look(until: str | None) -> str:
    watcher = create_async_engine(URL, poolclass=NullPool)
    async with watcher.connect() as connection:
        while (state := await connection.scalar(text(STATE))) != until:
            await connection.rollback()
    return state or "connection ended"


async def finish(engine: AsyncEngine) -> None:
    await asyncio.gather(*left, return_exceptions=True)
    await engine.dispose()


plain = make_engine()
limited = make_engine(idle_in_transaction_session_timeout="500ms")
for how, engine, until in (
    ("awaited", plain, "idle"),
    ("left behind", plain, "idle in transaction"),
    ("left behind, with a limit", limited, None),
):
    runner.run(handle(engine, patient=how == "awaited"))
    print(f"{how}:", asyncio.run(look(until)))
    #> awaited: idle
    #> left behind: idle in transaction
    #> left behind, with a limit: connection ended
    runner.run(finish(engine))
runner.close()
