"""With --preload, a worker inherits the connections of the import.

用 --preload 时，导入阶段打开的连接会传给 worker。
"""

import asyncio
import os
import sys
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from subprocess import PIPE, Popen

from fastapi import FastAPI
from sqlalchemy import text
from sqlalchemy.ext.asyncio import AsyncEngine, create_async_engine

URL = os.environ["DATABASE_URL"]
left, forgotten, disposed = (create_async_engine(URL) for _ in range(3))
kept: list[object] = []


async def order(engine: AsyncEngine) -> str:
    try:
        async with engine.connect() as connection:
            return str(await connection.scalar(text("SELECT 'oolong'")))
    except RuntimeError as error:
        return str(error).replace(";", "").split("> ")[-1]


async def load_menu() -> None:
    for engine in (left, forgotten, disposed):
        await order(engine)
    await disposed.dispose()


@asynccontextmanager
async def lifespan(app: FastAPI) -> AsyncIterator[None]:
    kept.append(forgotten.pool)
    await forgotten.dispose(close=False)
    for engine in (left, forgotten, disposed):
        os.write(1, f"{await order(engine)}\n".encode())
    yield


app = FastAPI(lifespan=lifespan)
COMMAND = f"""
    gunicorn {os.path.basename(__file__)[:-3]}:app --preload --bind 127.0.0.1:0
    --worker-class uvicorn_worker.UvicornWorker --log-level critical
"""
# The shell ends the server when its stdin closes, so also if we are killed.
GUARD = ["sh", "-c", '"$@" & exec >&-; read _; kill $!; wait $!', "sh"]
WAYS = "left in the pool", "dispose(close=False)", "dispose() before fork"
if __name__ != "__main__":  # imported by gunicorn
    asyncio.run(load_menu())
else:
    python = [*GUARD, sys.executable, "-m", *COMMAND.split()]
    os.chdir(os.path.dirname(__file__))
    with Popen(python, stdin=PIPE, stdout=PIPE) as server:
        for way, drink in zip(WAYS, server.stdout or (), strict=False):
            print(f"{way}:", drink.decode().strip())
            #> left in the pool: attached to a different loop
            #> dispose(close=False): oolong
            #> dispose() before fork: oolong
