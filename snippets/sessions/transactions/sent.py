"""BEGIN goes out with the first SQL; with no SQL, nothing goes out at all.

BEGIN 跟着第一条 SQL 才发；没有 SQL，就什么也不发。
"""

import asyncio
import os
from typing import Any

from sqlalchemy import event, text
from sqlalchemy.ext.asyncio import async_sessionmaker, create_async_engine

engine = create_async_engine(os.environ["DATABASE_URL"])
async_session = async_sessionmaker(engine)
sent: list[str] = []
resets: list[object] = []


@event.listens_for(engine.sync_engine, "connect")
def listen(connection: Any, _: object) -> None:
    connection.driver_connection.add_query_logger(
        lambda record: sent.append(record.query)
    )


@event.listens_for(engine.sync_engine, "reset")
def count(*arguments: object) -> None:
    resets.append(arguments)


async def no_sql() -> None:
    async with async_session.begin() as session:
        await session.connection()


async def no_commit() -> None:
    async with async_session() as session:
        await session.execute(text("SELECT 'oolong'"))


async def commit() -> None:
    async with async_session() as session:
        await session.execute(text("SELECT 'oolong'"))
        await session.commit()


async def main() -> None:
    for work in (no_sql, no_commit, commit):
        sent.clear()
        resets.clear()
        await work()
        print(f"{work.__name__}: reset {len(resets)} time, sent {sent}")
        #> no_sql: reset 1 time, sent []
        #> no_commit: reset 1 time, sent ['BEGIN;', 'ROLLBACK;']
        #> commit: reset 1 time, sent ['BEGIN;', 'COMMIT;']
    await engine.dispose()


asyncio.run(main())
