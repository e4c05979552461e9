"""Celery's prefork: a loop and an engine for each process, not for each task.

Celery prefork：每个进程一个事件循环和一个引擎，而不是每个任务一个。
"""

import asyncio
import os
import sys
from shutil import rmtree
from subprocess import DEVNULL, PIPE, Popen
from tempfile import mkdtemp

from celery import Celery
from celery.signals import worker_process_init
from sqlalchemy import text
from sqlalchemy.ext.asyncio import AsyncEngine, create_async_engine

FOLDER = os.environ.get("TEAHOUSE") or mkdtemp()  # instead of a broker
os.environ["TEAHOUSE"] = FOLDER
KEYS = "data_folder_in", "data_folder_out", "control_folder"
app = Celery(broker="filesystem://", backend=f"file://{FOLDER}")
app.conf.broker_transport_options = dict.fromkeys(KEYS, FOLDER)
runner: asyncio.Runner
engine: AsyncEngine


@worker_process_init.connect
def start(**_: object) -> None:
    global runner, engine
    runner = asyncio.Runner()
    engine = create_async_engine(os.environ["DATABASE_URL"], pool_size=1)


async def order() -> str:
    async with engine.connect() as connection:
        return str(await connection.scalar(text("SELECT 'oolong'")))


@app.task(name="loop of the process")
def brew() -> str:
    return str(runner.run(order()))


@app.task(name="asyncio.run()")
def brew_in_a_new_loop() -> str:
    return asyncio.run(order())


if __name__ == "__main__":
    os.chdir(os.path.dirname(__file__))
    guard = ["sh", "-c", '"$@" & read _; kill $!; wait $!', "sh"]
    command = f"celery -A {os.path.basename(__file__)[:-3]} worker -c 1"
    python = [*guard, sys.executable, "-m", *command.split()]
    with Popen(python, stdin=PIPE, stdout=DEVNULL, stderr=DEVNULL):
        for task in (brew, brew, brew_in_a_new_loop):
            sent = task.delay()
            sent.get(timeout=60, propagate=False)
            print(f"{task.name}:", str(sent.result).split("> ")[-1])
            #> loop of the process: oolong
            #> loop of the process: oolong
            #> asyncio.run(): attached to a different loop
    rmtree(FOLDER)
