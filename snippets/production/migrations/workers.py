"""Of four workers that run create_all at once, three fail; a lock lets all in.

四个 worker 启动时都跑 create_all，三个报错；先拿锁就都能启动。
"""

import asyncio
import os
from collections import Counter
from collections.abc import Callable
from secrets import randbits, token_hex

from sqlalchemy import Column, Connection, MetaData, Table, Text, text
from sqlalchemy.exc import IntegrityError
from sqlalchemy.ext.asyncio import create_async_engine

URL = os.environ["DATABASE_URL"]
metadata = MetaData()
Table(f"guide_orders_{token_hex(4)}", metadata, Column("drink", Text))
KEY = randbits(62)  # in your project a number, the same in all workers
WAITING = text("""SELECT count(*) FROM pg_stat_activity
    WHERE wait_event_type = 'Lock' AND datname = current_database()""")


def one_after_another(connection: Connection) -> None:
    lock = text(f"SELECT pg_advisory_xact_lock({KEY})")
    connection.execute(lock)  # until the transaction ends
    metadata.create_all(connection)


async def start(
    create: Callable[[Connection], None], together: asyncio.Event
) -> str:
    engine = create_async_engine(URL)  # each worker has its own
    try:
        async with engine.begin() as connection:
            await connection.run_sync(create)
            await together.wait()
    except IntegrityError as error:
        return str(error.orig).splitlines()[0]
    finally:
        await engine.dispose()
    return "started"


async def main() -> None:
    engine = create_async_engine(URL, isolation_level="AUTOCOMMIT")
    for create in metadata.create_all, one_after_another:
        together = asyncio.Event()
        starting = asyncio.gather(*(start(create, together) for _ in range(4)))
        async with engine.connect() as watcher:
            while await watcher.scalar(WAITING) != 3:
                pass
            together.set()
            for said, workers in sorted(Counter(await starting).items()):
                print(workers, said)
                #> 3 duplicate key value violates unique constraint "pg_type_typname_nsp_index"
                #> 1 started
                #> 4 started
            await watcher.run_sync(metadata.drop_all)
    await engine.dispose()


asyncio.run(main())
