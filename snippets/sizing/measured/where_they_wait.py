"""A larger pool does not shorten the queue, it moves it into PostgreSQL.

开大连接池，队没有变短，只是从池里挪到了 PostgreSQL 里。
"""

import asyncio
import os
from secrets import randbits, token_hex

from sqlalchemy import text
from sqlalchemy.ext.asyncio import create_async_engine
from sqlalchemy.pool import NullPool

URL = os.environ["DATABASE_URL"]
NAME = f"guide_{token_hex(4)}"
TAKE_THE_KETTLE = text(f"SELECT pg_advisory_xact_lock({randbits(62)})")
WAITING = text(
    "SELECT count(*) FROM pg_stat_activity WHERE wait_event_type = 'Lock'"
    f" AND application_name = '{NAME}'"
)


async def queue_of_twelve(pool_size: int) -> None:
    engine = create_async_engine(
        URL,
        pool_size=pool_size,
        max_overflow=0,
        connect_args={"server_settings": {"application_name": NAME}},
    )
    watcher = create_async_engine(URL, poolclass=NullPool)
    lent = 0

    async def guest() -> None:
        nonlocal lent
        async with engine.connect() as connection:
            lent += 1
            await connection.execute(TAKE_THE_KETTLE)

    async with (
        asyncio.timeout(30),
        asyncio.TaskGroup() as guests,
        watcher.connect() as kettle,
        watcher.connect() as view,
    ):
        await kettle.execute(TAKE_THE_KETTLE)
        for _ in range(12):
            guests.create_task(guest())
        while await view.scalar(WAITING) != pool_size:
            await view.rollback()
        print(f"{pool_size} in PostgreSQL, {12 - lent} in the pool's queue")
        #> 2 in PostgreSQL, 10 in the pool's queue
        #> 12 in PostgreSQL, 0 in the pool's queue
    await engine.dispose()


async def main() -> None:
    await queue_of_twelve(pool_size=2)
    await queue_of_twelve(pool_size=12)


asyncio.run(main())
