"""SIGTERM kills Python at once, and the query runs on: cancel the job instead.

SIGTERM 默认直接杀掉 Python，查询还在服务端跑：改成取消任务。
"""

import asyncio
import os
import signal
import sys
from subprocess import DEVNULL, PIPE, Popen
from threading import Thread

from sqlalchemy import NullPool, text
from sqlalchemy.ext.asyncio import create_async_engine

URL = os.environ["DATABASE_URL"]
NAME = os.environ.setdefault("TEAHOUSE", f"teahouse_{os.urandom(4).hex()}")
NAMED = {"server_settings": {"application_name": NAME}}
OURS = f"application_name = '{NAME}' AND wait_event = 'PgSleep'"
RUNNING = f"SELECT count(*) FROM pg_stat_activity WHERE {OURS}"
STOP = RUNNING.replace("*", "pg_terminate_backend(pid)")
engine = create_async_engine(
    URL, poolclass=NullPool, connect_args=NAMED, isolation_level="AUTOCOMMIT"
)


async def take_stock() -> None:
    async with engine.connect() as connection:
        await connection.execute(text("SELECT pg_sleep(600)"))


async def take_stock_until_sigterm() -> None:
    work, loop = asyncio.create_task(take_stock()), asyncio.get_running_loop()
    loop.add_signal_handler(signal.SIGTERM, work.cancel)
    await work


async def find(query: str, until: int) -> object:
    async with engine.connect() as watcher:
        while (found := await watcher.scalar(text(query))) != until:
            pass
    return found


JOBS = {"plain": take_stock, "cancelling": take_stock_until_sigterm}
if "JOB" in os.environ:
    Thread(target=lambda: os.read(0, 1) or os._exit(1), daemon=True).start()
    asyncio.run(JOBS[os.environ["JOB"]]())
for job, number, left in (
    ("plain", signal.SIGTERM, 1),
    ("plain", signal.SIGKILL, 1),
    ("cancelling", signal.SIGTERM, 0),
):
    os.environ["JOB"], python = job, [sys.executable, __file__]
    with Popen(python, stdin=PIPE, stderr=DEVNULL) as process:
        asyncio.run(find(RUNNING, 1))
        process.send_signal(number)
        process.wait()
    print(job, number.name, "queries:", asyncio.run(find(RUNNING, left)))
    #> plain SIGTERM queries: 1
    #> plain SIGKILL queries: 1
    #> cancelling SIGTERM queries: 0
    asyncio.run(find(STOP, left))
