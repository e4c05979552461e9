"""A task left behind stands still between invocations, with its transaction.

没等完的任务，两次调用之间停在原地，事务也一直开着。
"""

import asyncio
import os

from sqlalchemy import NullPool, text
from sqlalchemy.ext.asyncio import AsyncEngine, create_async_engine

URL = os.environ["DATABASE_URL"]
NAME = f"teahouse_{os.urandom(4).hex()}"
named = {"application_name": NAME}
STATE = f"SELECT state FROM pg_stat_activity WHERE application_name = '{NAME}'"
runner = asyncio.Runner()
paid = asyncio.Event()  # another service takes its time
left: list[asyncio.Task[None]] = []


async def write_down(engine: AsyncEngine, begun: asyncio.Event) -> None:
    async with engine.begin() as connection:
        await connection.execute(text("SELECT 'oolong'"))
        begun.set()
        await paid.wait()


async def handle(engine: AsyncEngine) -> None:
    begun = asyncio.Event()
    left.append(asyncio.create_task(write_down(engine, begun)))
    await begun.wait()


async def look(until: str | None) -> str:
    watcher = create_async_engine(URL, poolclass=NullPool)
    async with watcher.connect() as connection:
        while (state := await connection.scalar(text(STATE))) != until:
            await connection.rollback()
    return state or "connection ended"


async def end(engine: AsyncEngine) -> None:
    paid.set()
    await asyncio.gather(*left, return_exceptions=True)
    await engine.dispose()
    paid.clear()


for limit, until in ("0", "idle in transaction"), ("500ms", None):
    named["idle_in_transaction_session_timeout"] = limit
    engine = create_async_engine(URL, connect_args={"server_settings": named})
    runner.run(handle(engine))
    print(f"limit {limit}:", asyncio.run(look(until)))
    #> limit 0: idle in transaction
    #> limit 500ms: connection ended
    runner.run(end(engine))
runner.close()
