"""A worker that is killed is replaced; its query runs on at the server.

被强杀的 worker 会有新的顶上，它的查询还在服务端跑。
"""

import asyncio
import os
import sys
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from subprocess import DEVNULL, PIPE, Popen

from fastapi import FastAPI
from sqlalchemy import NullPool, text
from sqlalchemy.ext.asyncio import create_async_engine

URL = os.environ["DATABASE_URL"]
NAME = os.environ.setdefault("TEAHOUSE", f"teahouse_{os.urandom(4).hex()}")
OURS = f"WHERE application_name = '{NAME}' AND state = 'active'"
RUNNING = f"SELECT count(*) FROM pg_stat_activity {OURS}"
STOP = RUNNING.replace("*", "pg_terminate_backend(pid)")
SETTINGS = {"server_settings": {"application_name": NAME}}
engine = create_async_engine(URL, connect_args=SETTINGS)


@asynccontextmanager
async def lifespan(app: FastAPI) -> AsyncIterator[None]:
    async with engine.connect() as connection:
        brew = connection.execute(text("SELECT pg_sleep(600)"))
        brewing = asyncio.create_task(brew)
        os.write(1, f"{os.getpid()}\n".encode())
        yield
        brewing.cancel()
        await asyncio.wait([brewing])


app = FastAPI(lifespan=lifespan)
COMMAND = f"gunicorn {os.path.basename(__file__)[:-3]}:app --workers 2"
QUIET = "--preload -k uvicorn_worker.UvicornWorker -b 127.0.0.1:0"
GUARD = ["sh", "-c", '"$@" & exec >&-; read _; kill $!; wait $!', "sh"]


async def queries(find: str, at_least: int) -> int:
    async with create_async_engine(URL, poolclass=NullPool).connect() as look:
        while (found := await look.scalar(text(find))) < at_least:
            await look.rollback()
    return int(found)


if __name__ == "__main__":
    python = [*GUARD, sys.executable, "-m", *f"{COMMAND} {QUIET}".split()]
    os.chdir(os.path.dirname(__file__))
    with Popen(python, stdin=PIPE, stdout=PIPE, stderr=DEVNULL) as server:
        assert server.stdout
        workers = [int(server.stdout.readline()) for _ in range(2)]
        print("2 workers, queries:", asyncio.run(queries(RUNNING, 2)))
        #> 2 workers, queries: 2
        os.kill(workers[0], 9)
        server.stdout.readline()
        print("one killed, one new:", asyncio.run(queries(RUNNING, 3)))
        #> one killed, one new: 3
    print("server stopped, ended by us:", asyncio.run(queries(STOP, 1)))
    #> server stopped, ended by us: 1
