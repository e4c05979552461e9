"""Two at once create a table, IF NOT EXISTS or not; a lock lets one wait.

两边同时建表，写不写 IF NOT EXISTS 都会撞上；先拿锁，后来的就会等。
"""

import asyncio
import os
from collections.abc import Callable
from secrets import randbits, token_hex

from sqlalchemy import Column, Connection, MetaData, Table, Text, exc, text
from sqlalchemy.ext.asyncio import create_async_engine
from sqlalchemy.schema import CreateTable

metadata = MetaData()
ORDERS = Table(f"guide_orders_{token_hex(4)}", metadata, Column("drink", Text))
CREATE = CreateTable(ORDERS, if_not_exists=True)
CREATING = text(f"SELECT pg_advisory_xact_lock({randbits(62)})")
WAITS = text("""SELECT count(*) FROM pg_stat_activity
                WHERE :pid = ANY (pg_blocking_pids(pid))""")
engine = create_async_engine(os.environ["DATABASE_URL"])
watching = create_async_engine(engine.url, isolation_level="AUTOCOMMIT")


def if_not_exists(connection: Connection) -> None:
    connection.execute(CREATE)


def one_at_a_time(connection: Connection) -> None:
    connection.execute(CREATING)  # held until this transaction ends
    metadata.create_all(connection)


async def run(step: Callable[[Connection], object]) -> str:
    try:
        async with engine.begin() as connection:
            await connection.run_sync(step)
    except exc.IntegrityError as error:
        return str(error.orig).splitlines()[0]
    return "no error"


async def main() -> None:
    for step in metadata.create_all, if_not_exists, one_at_a_time:
        async with engine.begin() as first, watching.connect() as watcher:
            pid = await first.scalar(text("SELECT pg_backend_pid()"))
            await first.run_sync(step)
            second = asyncio.create_task(run(step))
            while not await watcher.scalar(WAITS, {"pid": pid}):
                pass  # until the second one waits for the first
        print(await second)
        #> duplicate key value violates unique constraint "pg_type_typname_nsp_index"
        #> duplicate key value violates unique constraint "pg_type_typname_nsp_index"
        #> no error
        await run(metadata.drop_all)
    await watching.dispose()
    await engine.dispose()


asyncio.run(main())
