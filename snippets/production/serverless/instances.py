"""Instances multiply what each may open: pool_size=1, max_overflow=0.

实例数乘以每个实例的上限：pool_size=1、max_overflow=0。
"""

import asyncio
import os
import sys
from subprocess import PIPE, Popen

from sqlalchemy import NullPool, text
from sqlalchemy.ext.asyncio import create_async_engine

URL = os.environ["DATABASE_URL"]
NAME = os.environ.setdefault("TEAHOUSE", f"teahouse_{os.urandom(4).hex()}")
OURS = f"FROM pg_stat_activity WHERE application_name = '{NAME}'"
NAMED = {"server_settings": {"application_name": NAME}}
POOLS = {
    "5 + 10": create_async_engine(URL, connect_args=NAMED),
    "1 + 0": create_async_engine(
        URL, connect_args=NAMED, pool_size=1, max_overflow=0
    ),
}


async def invocation(size: str, queries: int) -> None:
    async def order() -> None:
        async with POOLS[size].connect() as connection:
            await connection.execute(text("SELECT 'oolong'"))

    await asyncio.gather(*(order() for _ in range(queries)))
    os.write(1, b"answered\n")
    sys.stdin.read()  # until it is told to end
    await POOLS[size].dispose()


async def count() -> object:
    watcher = create_async_engine(URL, poolclass=NullPool)
    async with watcher.connect() as connection:
        return await connection.scalar(text(f"SELECT count(*) {OURS}"))


if settings := os.environ.get("INSTANCE"):
    size, _, queries = settings.partition(", ")
    asyncio.run(invocation(size, int(queries)))
else:
    for settings in "5 + 10, 1", "5 + 10, 3", "1 + 0, 1", "1 + 0, 3":
        os.environ["INSTANCE"] = settings
        command = [sys.executable, __file__]
        started = [Popen(command, stdin=PIPE, stdout=PIPE) for _ in range(4)]
        for each in started:
            assert each.stdout
            each.stdout.readline()
        print(f"pool of {settings} at once:", asyncio.run(count()))
        #> pool of 5 + 10, 1 at once: 4
        #> pool of 5 + 10, 3 at once: 12
        #> pool of 1 + 0, 1 at once: 4
        #> pool of 1 + 0, 3 at once: 4
        for each in started:
            each.communicate()
