"""Instances multiply what each may open: pool_size=1, max_overflow=0.

实例数乘以每个实例的上限：pool_size=1、max_overflow=0。
"""

import asyncio
import os
import sys
from subprocess import PIPE, Popen
from typing import Any

from sqlalchemy import NullPool, text
from sqlalchemy.ext.asyncio import create_async_engine

URL = os.environ["DATABASE_URL"]
NAME = os.environ.setdefault("TEAHOUSE", f"teahouse_{os.urandom(4).hex()}")
COUNT = text(
    "SELECT count(*) FROM pg_stat_activity WHERE application_name = :it"
)
kept: list[object] = []
DEFAULT: dict[str, int] = {}
ONE = {"pool_size": 1, "max_overflow": 0}
HANDLERS = {
    "5 + 10, one query": (DEFAULT, 1),
    "5 + 10, three at once": (DEFAULT, 3),
    "1 + 0, one query": (ONE, 1),
    "1 + 0, three at once": (ONE, 3),
}


async def invoke(handler: str) -> None:
    limits, queries = HANDLERS[handler]
    named: Any = {"server_settings": {"application_name": NAME + handler}}
    engine = create_async_engine(URL, connect_args=named, **limits)
    kept.append(engine)  # as the module of a function keeps it

    async def order() -> None:
        async with engine.connect() as connection:
            await connection.execute(text("SELECT 'oolong'"))

    await asyncio.gather(*(order() for _ in range(queries)))


async def count(handler: str) -> object:
    watcher = create_async_engine(URL, poolclass=NullPool)
    async with watcher.connect() as connection:
        return await connection.scalar(COUNT, {"it": NAME + handler})


if "INSTANCE" in os.environ:
    with asyncio.Runner() as runner:
        for handler in HANDLERS:
            runner.run(invoke(handler))
        print("answered", flush=True)
        sys.stdin.read()  # until it is told to end
    sys.exit()
os.environ["INSTANCE"] = "of the function"
command = [sys.executable, __file__]
instances = [Popen(command, stdin=PIPE, stdout=PIPE) for _ in range(3)]
for each in instances:
    assert each.stdout
    each.stdout.readline()
for handler in HANDLERS:
    print(f"3 instances, {handler}:", asyncio.run(count(handler)))
    #> 3 instances, 5 + 10, one query: 3
    #> 3 instances, 5 + 10, three at once: 9
    #> 3 instances, 1 + 0, one query: 3
    #> 3 instances, 1 + 0, three at once: 3
for each in instances:
    each.communicate()
