"""A verdict for every group of connections that pg_stat_activity shows.

按应用和状态给 pg_stat_activity 里的连接分组，每组给一个结论。
"""

import asyncio
import os
from collections.abc import Sequence

from sqlalchemy import RowMapping, text
from sqlalchemy.ext.asyncio import create_async_engine
from sqlalchemy.pool import NullPool

URL = os.environ["DATABASE_URL"]
EXAMPLE = {"server_settings": {"application_name": "example"}}
GROUPS = text("""
    SELECT application_name AS app, coalesce(state, 'hidden') AS state,
           count(*) AS backends,
           extract(epoch FROM max(now() - state_change))::int / 60 AS age
    FROM pg_stat_activity
    WHERE datname = current_database() AND pid <> pg_backend_pid()
          AND coalesce(backend_type, 'client backend') = 'client backend'
    GROUP BY app, 2 ORDER BY app, 2
""")
WORKING = "active", "idle in transaction"
VERDICTS = {
    "active": "a slow query, or one that waits for a lock",
    "idle": "kept by a pool, if no more than processes x pool_size",
    "idle in transaction": "leaked, or left open while its task waits",
    "idle in transaction (aborted)": "an error, and nobody rolled back",
    "hidden": "another role's: GRANT pg_monitor to see more",
}


async def look() -> Sequence[RowMapping]:
    watcher = create_async_engine(URL, poolclass=NullPool)
    async with watcher.connect() as connection:
        return (await connection.execute(GROUPS)).mappings().all()


async def look_at_an_example() -> Sequence[RowMapping]:
    engine = create_async_engine(URL, connect_args=EXAMPLE)
    async with engine.connect() as unfinished, engine.connect():
        await unfinished.execute(text("SELECT 'longjing'"))
        groups = await look()
    await engine.dispose()
    return groups


async def main() -> None:
    for group in await look() or await look_at_an_example():
        says = VERDICTS.get(group["state"], "rare: see PostgreSQL's manual")
        if group["age"] == 0 and group["state"] in WORKING:
            says = "at work; look again in a minute"
        age = {None: "?", 0: "< 1 min"}.get(group["age"], f"{group['age']} min")
        print("{app}: {backends} {state}".format(**group), age, says, sep=" | ")
        #> example: 1 idle | < 1 min | kept by a pool, if no more than processes x pool_size
        #> example: 1 idle in transaction | < 1 min | at work; look again in a minute


asyncio.run(main())
