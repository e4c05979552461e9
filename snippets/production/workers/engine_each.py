"""Every worker of gunicorn has an engine and a pool of its own.

gunicorn 的每个 worker 都有自己的引擎和连接池。
"""

import asyncio
import os
import sys
from collections.abc import AsyncIterator
from contextlib import AsyncExitStack, asynccontextmanager
from secrets import token_hex
from subprocess import PIPE, Popen

from fastapi import FastAPI
from sqlalchemy import NullPool, text
from sqlalchemy.ext.asyncio import create_async_engine

URL = os.environ["DATABASE_URL"]
NAME = os.environ.setdefault("TEAHOUSE", f"teahouse_{token_hex(4)}")
SETTINGS = {"server_settings": {"application_name": NAME}}
OURS = f"WHERE application_name = '{NAME}'"
BACKENDS = text(f"SELECT count(*) FROM pg_stat_activity {OURS}")
engine = create_async_engine(
    URL, pool_size=2, max_overflow=1, connect_args=SETTINGS
)


@asynccontextmanager
async def lifespan(app: FastAPI) -> AsyncIterator[None]:
    async with AsyncExitStack() as lent:
        for _ in range(2 + 1):
            await lent.enter_async_context(engine.connect())
        os.write(1, b"full\n")
        yield
    await engine.dispose()


app = FastAPI(lifespan=lifespan)
COMMAND = f"""
    gunicorn {os.path.basename(__file__)[:-3]}:app -w 2 --bind 127.0.0.1:0
    --worker-class uvicorn_worker.UvicornWorker --log-level critical
"""
# The shell ends the server when its stdin closes, so also if we are killed.
GUARD = ["sh", "-c", '"$@" & exec >&-; read _; kill $!; wait $!', "sh"]


async def backends() -> int:
    watcher = create_async_engine(URL, poolclass=NullPool)
    async with watcher.connect() as connection:
        return int(await connection.scalar(BACKENDS) or 0)


if __name__ == "__main__":
    python = [*GUARD, sys.executable, "-m", *COMMAND.split()]
    os.chdir(os.path.dirname(__file__))
    with Popen(python, stdin=PIPE, stdout=PIPE) as server:
        assert server.stdout
        _ = server.stdout.readline() + server.stdout.readline()
        print("2 workers x (2 + 1) =", asyncio.run(backends()))
        #> 2 workers x (2 + 1) = 6
    print("server stopped:", asyncio.run(backends()))
    #> server stopped: 0
