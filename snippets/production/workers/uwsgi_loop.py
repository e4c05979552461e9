"""uWSGI's workers lack the threads of the import: start the loop afterwards.

导入时启动的线程，uWSGI 的 worker 里没有：事件循环要在 fork 之后再启动。
"""

import asyncio
import os
import sys
from collections.abc import Callable
from subprocess import PIPE, Popen
from tempfile import TemporaryDirectory
from threading import Thread

import httpx
from sqlalchemy import text
from sqlalchemy.ext.asyncio import create_async_engine

engine = create_async_engine(os.environ["DATABASE_URL"])
loops: dict[str, asyncio.AbstractEventLoop] = {}


def start_loop(when: str) -> None:
    loops[when] = loop = asyncio.new_event_loop()
    Thread(target=loop.run_forever, daemon=True).start()


async def pour() -> str:
    async with engine.connect() as connection:
        return str(await connection.scalar(text("SELECT 'oolong'")))


def order(when: str, seconds: float) -> str:
    drink = asyncio.run_coroutine_threadsafe(pour(), loops[when])
    try:
        return drink.result(seconds)
    except TimeoutError:
        return "no answer" if drink.cancel() else drink.result()


def application(environ: object, start: Callable[..., None]) -> list[bytes]:
    start("200 OK", [])
    return [f"{order('import', 1)}, {order('postfork', 30)}".encode()]


MODULE = os.path.basename(__file__)[:-3]
COMMAND = f"uwsgi --module {MODULE} --master --die-on-term --logto /dev/null"
GUARD = ["sh", "-c", '"$@"& read _; while kill $! 2>&-; do sleep 1; done', "sh"]
if __name__ != "__main__":  # imported by uWSGI
    from uwsgidecorators import postfork

    start_loop("import")
    postfork(lambda: start_loop("postfork"))
else:
    with TemporaryDirectory() as folder:
        uwsgi = f"{os.path.dirname(sys.executable)}/{COMMAND} --http-socket"
        command = [*GUARD, *uwsgi.split(), f"{folder}/tea"]
        with Popen(command, cwd=os.path.dirname(__file__), stdin=PIPE):
            unix = httpx.HTTPTransport(uds=f"{folder}/tea", retries=6)
            with httpx.Client(transport=unix, timeout=60) as client:
                print("import, postfork:", client.get("http://tea/").text)
                #> import, postfork: no answer, oolong
