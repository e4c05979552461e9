"""A snapshot (xmin) or a write (xid) of an open transaction holds VACUUM back.

事务开着时，留着的快照（xmin）或者写过的数据（xid）会拖住 VACUUM。
"""

import asyncio
import os
from secrets import token_hex

from sqlalchemy import make_url, text
from sqlalchemy.ext.asyncio import create_async_engine
from sqlalchemy.pool import NullPool

URL = make_url(os.environ["DATABASE_URL"])
ORDERS = f"guide_orders_{token_hex(4)}"
SELECT = f"SELECT drink FROM {ORDERS}"
SET = "SET LOCAL work_mem = '5MB'"
RC, RR = "READ COMMITTED", "REPEATABLE READ"
CASES = (
    ("SELECT", RC, SELECT),
    ("SELECT with a parameter", RC, f"{SELECT} WHERE drink = :drink"),
    ("SELECT, then SET", RC, SELECT, SET),
    ("UPDATE", RC, f"UPDATE {ORDERS} SET drink = 'oolong'"),
    ("REPEATABLE READ: SELECT, then SET", RR, SELECT, SET),
)
HELD = text("""
    SELECT concat_ws(' ', CASE WHEN backend_xmin IS NOT NULL THEN 'xmin' END,
                          CASE WHEN backend_xid IS NOT NULL THEN 'xid' END)
    FROM pg_stat_activity WHERE pid = :pid""")
watching = create_async_engine(URL, isolation_level="AUTOCOMMIT")


async def held(driver: str, level: str, *statements: str) -> str:
    """What a transaction left open after these statements holds."""
    url = URL.set(drivername=f"postgresql+{driver}")
    engine = create_async_engine(url, poolclass=NullPool, isolation_level=level)
    async with engine.connect() as guest, watching.connect() as watcher:
        pid = await guest.scalar(text("SELECT pg_backend_pid()"))
        for sql in statements:
            drink = {"drink": "oolong"} if ":drink" in sql else {}
            await guest.execute(text(sql), drink)
        return await watcher.scalar(HELD, {"pid": pid}) or "nothing"


async def run(statement: str) -> None:
    async with watching.connect() as connection:
        await connection.execute(text(statement))


async def main() -> None:
    await run(f"CREATE TABLE {ORDERS} AS SELECT 'longjing' AS drink")
    for driver in "asyncpg", "psycopg":
        for label, level, *statements in CASES:
            holds = await held(driver, level, *statements)
            print(driver, label, holds, sep=" | ")
            #> asyncpg | SELECT | xmin
            #> asyncpg | SELECT with a parameter | xmin
            #> asyncpg | SELECT, then SET | nothing
            #> asyncpg | UPDATE | xid
            #> asyncpg | REPEATABLE READ: SELECT, then SET | xmin
            #> psycopg | SELECT | nothing
            #> psycopg | SELECT with a parameter | xmin
            #> psycopg | SELECT, then SET | nothing
            #> psycopg | UPDATE | xid
            #> psycopg | REPEATABLE READ: SELECT, then SET | xmin
    await run(f"DROP TABLE {ORDERS}")
    await watching.dispose()


asyncio.run(main())
