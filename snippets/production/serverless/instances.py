"""Instances multiply what each may open: pool_size=1, max_overflow=0.

实例数乘以每个实例的上限：pool_size=1、max_overflow=0。
"""

import asyncio
import os
import sys
from subprocess import PIPE, Popen
from typing import Any

from sqlalchemy import NullPool, text
from sqlalchemy.ext.asyncio import AsyncEngine, create_async_engine

URL = os.environ["DATABASE_URL"]
NAME = os.environ.setdefault("TEAHOUSE", f"teahouse_{os.urandom(4).hex()}")
COUNT = "SELECT count(*) FROM pg_stat_activity WHERE application_name"
ONE = {"pool_size": 1, "max_overflow": 0}
POOLS: dict[str, dict[str, Any]] = {"5 + 10": {}, "1 + 0": ONE}
HANDLERS = [(pool, at_once) for pool in POOLS for at_once in (1, 3)]


async def invoke(pool: str, at_once: int) -> AsyncEngine:
    named = {
        "server_settings": {"application_name": f"{NAME} {pool} {at_once}"}
    }
    engine = create_async_engine(URL, connect_args=named, **POOLS[pool])

    async def order() -> None:
        async with engine.connect() as connection:
            await connection.execute(text("SELECT 'oolong'"))

    await asyncio.gather(*(order() for _ in range(at_once)))
    return engine


async def count(pool: str, at_once: int) -> object:
    watcher = create_async_engine(URL, poolclass=NullPool)
    async with watcher.connect() as connection:
        query = text(f"{COUNT} = '{NAME} {pool} {at_once}'")
        return await connection.scalar(query)


if "INSTANCE" in os.environ:
    with asyncio.Runner() as runner:
        engines = [runner.run(invoke(*handler)) for handler in HANDLERS]
        print("answered", flush=True)
        sys.stdin.read()  # until it is told to end
    sys.exit()
os.environ["INSTANCE"] = "of the function"
python = [sys.executable, __file__]
instances = [Popen(python, stdin=PIPE, stdout=PIPE) for _ in range(3)]
for each in instances:
    assert each.stdout
    each.stdout.readline()
for pool, at_once in HANDLERS:
    many = asyncio.run(count(pool, at_once))
    print(f"3 instances, pool of {pool}, {at_once} at once:", many)
    #> 3 instances, pool of 5 + 10, 1 at once: 3
    #> 3 instances, pool of 5 + 10, 3 at once: 9
    #> 3 instances, pool of 1 + 0, 1 at once: 3
    #> 3 instances, pool of 1 + 0, 3 at once: 3
for each in instances:
    each.communicate()
