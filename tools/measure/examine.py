"""Write down what the doctor prints of a server that is ill: `python -m tools examine`.

Takes a little over a minute, for it waits until a transaction is old enough. Writes the record
beside the script for readers, `doctor.txt`.
"""

import asyncio
import os
import subprocess
import sys
from typing import Any

import asyncpg  # type: ignore[import-untyped]

from tools.paths import SNIPPETS
from tools.postgres import EmbeddedPostgres, dsn_of
from tools.proof.seals import write_printed

SCRIPT = SNIPPETS / "troubleshooting/doctor/doctor.py"
POOL = 4
OLD = 62.0
"""Seconds after which the doctor calls an idle transaction stuck, and a little more."""
LATE = 6.0
"""The same for a wait for a lock."""


def examine() -> None:
    """Stage the illness, run the doctor, and write what it printed.

    Raises:
        PostgresError: There are no binaries of PostgreSQL here.
    """
    with EmbeddedPostgres(max_connections="20") as server:
        printed = asyncio.run(_stage(server.url()))
    write_printed(SCRIPT, printed)


async def _stage(url: str) -> str:
    """A pool at rest, a task that waits in mid-transaction, and two that wait for it."""
    pool = [await _connect(url, "shop-api") for _ in range(POOL)]
    await pool[0].execute("CREATE TABLE orders AS SELECT 1 AS id, 'oolong' AS drink")
    for connection in pool:
        await connection.execute("ROLLBACK")
    stuck = pool[0]
    await stuck.execute("BEGIN")
    await stuck.execute("UPDATE orders SET drink = 'longjing'")
    await asyncio.sleep(OLD - LATE)
    migration = await _connect(url, "migration")
    waiting = [asyncio.create_task(migration.execute("ALTER TABLE orders ADD COLUMN price int"))]
    await asyncio.sleep(1)
    report = await _connect(url, "report")
    waiting.append(asyncio.create_task(report.execute("SELECT count(*) FROM orders")))
    await asyncio.sleep(LATE)
    ran = await asyncio.to_thread(
        subprocess.run,
        [sys.executable, str(SCRIPT)],
        env={"PATH": os.environ["PATH"], "DATABASE_URL": url},
        capture_output=True,
        encoding="utf-8",
    )
    await stuck.execute("ROLLBACK")
    await asyncio.gather(*waiting)
    for connection in (*pool, migration, report):
        await connection.close()
    return ran.stdout + ran.stderr


async def _connect(url: str, app: str) -> Any:
    settings = {"application_name": app}
    return await asyncpg.connect(dsn_of(url), server_settings=settings)
