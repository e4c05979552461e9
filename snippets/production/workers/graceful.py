"""gunicorn kills a worker whose request does not end; uvicorn can cancel it.

请求迟迟不结束，gunicorn 会强杀 worker，除非 uvicorn 先取消请求。
"""

import asyncio
import os
import sys
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from socket import create_connection, create_server
from subprocess import PIPE, Popen
from typing import Any

from fastapi import FastAPI
from sqlalchemy.ext.asyncio import create_async_engine
from uvicorn_worker import UvicornWorker

engine = create_async_engine(os.environ["DATABASE_URL"])
LIMIT = {"timeout_graceful_shutdown": 1}  # shorter than gunicorn's


class Cancelling(UvicornWorker):
    CONFIG_KWARGS = UvicornWorker.CONFIG_KWARGS | LIMIT


@asynccontextmanager
async def lifespan(app: FastAPI) -> AsyncIterator[None]:
    yield
    await engine.dispose()
    os.write(1, b"disposed")


async def endless() -> None:
    async with engine.connect():
        os.write(1, b"arrived\n")
        await asyncio.Event().wait()


app = FastAPI(lifespan=lifespan)
app.add_api_route("/", endless)
GUARD = ["sh", "-c", '"$@" & exec >&-; read _; kill $!; wait $!', "sh"]
ME = os.path.basename(__file__)[:-3]
PLAIN, OURS = "uvicorn_worker.UvicornWorker", f"{ME}.Cancelling"
if __name__ == "__main__":
    os.chdir(os.path.dirname(__file__))
    servers: dict[str, Any] = {}
    for worker, limit in (PLAIN, 2), (OURS, 30):
        listener = create_server(("127.0.0.1", 0))
        fd, guest = listener.fileno(), create_connection(listener.getsockname())
        guest.sendall(b"GET / HTTP/1.0\r\n\r\n")
        command = f"gunicorn {ME}:app --bind fd://{fd} --log-level critical"
        command += f" --worker-class {worker} --graceful-timeout {limit}"
        python = [*GUARD, sys.executable, "-m", *command.split()]
        server = Popen(python, stdin=PIPE, stdout=PIPE, pass_fds=[fd])
        servers[worker] = server, guest
    for worker, (server, _) in servers.items():
        server.stdout.readline()
        said = server.communicate()[0].decode()
        print(worker.split(".")[-1], said or "killed")
        #> UvicornWorker killed
        #> Cancelling disposed
