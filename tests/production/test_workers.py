"""What the page on workers says beyond what its snippets print."""

import os
import signal
import socket
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from functools import partial
from importlib import import_module
from pathlib import Path
from typing import IO

import pytest
import uvicorn
from sqlalchemy import make_url, text
from sqlalchemy.ext.asyncio import AsyncConnection
from uvicorn_worker import UvicornWorker

from tests.processes import stop_program
from tests.waiting import eventually
from tools.paths import SNIPPETS

BIN = Path(sys.executable).parent
APP = """
import asyncio, os, pathlib, time
from contextlib import asynccontextmanager
from sqlalchemy import text
from sqlalchemy.ext.asyncio import create_async_engine

engine = create_async_engine(os.environ["DATABASE_URL"])
imported, forked = os.getpid(), []
os.register_at_fork(after_in_child=lambda: forked.append(os.getpid()))
gate = pathlib.Path("gate")

def say(*words):
    os.write(1, f"{' '.join(map(str, words))}\\n".encode())

async def brew():
    async with engine.connect() as connection:
        await connection.execute(text("SELECT pg_sleep(600)"))

async def app(scope, receive, send):
    assert scope["type"] == "lifespan"
    await receive()
    connections = [await engine.connect() for _ in range(3)]
    app.brewing = os.environ.get("BREWS") and asyncio.create_task(brew())
    say_where()
    while not gate.exists():
        await asyncio.sleep(0.01)
    await send({"type": "lifespan.startup.complete"})
    await receive()
    while not gate.exists():
        await asyncio.sleep(0.01)
    if os.environ.get("BREWS") == "cancelled":
        app.brewing.cancel()
        await asyncio.wait([app.brewing])
    await send({"type": "lifespan.shutdown.complete"})

def application(environ, start):
    pass

def say_where():
    say(os.getpid(), imported == os.getpid(), os.getpid() in forked)

try:
    import uwsgi
except ImportError:
    pass
else:
    if uwsgi.worker_id():  # imported after the fork
        say_where()
    else:
        uwsgi.post_fork_hook = say_where
"""
UVICORN = "uvicorn app:app --port 0 --log-level critical --timeout-worker-healthcheck 60"
GUNICORN = (
    "gunicorn app:app --bind 127.0.0.1:0 --worker-class uvicorn_worker.UvicornWorker "
    "--log-level critical --timeout 120"
)
UWSGI = "uwsgi --module app --master --http-socket 127.0.0.1:0 --die-on-term"
COUNT = text("SELECT count(*) FROM pg_stat_activity WHERE datname = current_database()")
BREWING = text("""
    SELECT count(*) FROM pg_stat_activity
    WHERE datname = current_database() AND query LIKE '%pg_sleep(600)%' AND state = 'active'
    AND pid <> pg_backend_pid()
""")
STOP = text(BREWING.text.replace("count(*)", "pg_terminate_backend(pid)"))


@contextmanager
def served(
    command: str, database_url: str, folder: Path, **environment: str
) -> Iterator[tuple["subprocess.Popen[str]", IO[str]]]:
    """A server, and what its workers say; it has ended afterwards."""
    (folder / "app.py").write_text(APP, "utf-8")
    program, *options = command.split()
    start = [BIN / program] if program == "uwsgi" else [sys.executable, "-m", program]
    with subprocess.Popen(
        [*map(str, start), *options], cwd=folder, stdout=subprocess.PIPE,
        stderr=subprocess.DEVNULL, encoding="utf-8",
        env={**os.environ, "DATABASE_URL": database_url, **environment}, process_group=0,
    ) as server:  # fmt: skip
        assert server.stdout
        # Its stdin closes at the end, and also if we are killed.
        guard = ["sh", "-c", f"read _; kill -KILL -{server.pid} 2>&-"]
        with subprocess.Popen(guard, stdin=subprocess.PIPE, process_group=0):
            yield server, server.stdout
            if program != "uwsgi":  # which does not hear it while it starts
                server.terminate()
                server.wait(60)


@pytest.mark.parametrize(
    ("command", "here", "hooked"),
    [
        (f"{UVICORN} --workers 2", True, False),
        (f"{GUNICORN} --workers 2", True, False),
        (f"{GUNICORN} --workers 2 --preload", False, True),
        (f"{UWSGI} --processes 2", False, False),
        (f"{UWSGI} --processes 2 --lazy-apps", True, False),
    ],
    ids=["uvicorn", "gunicorn", "preload", "uwsgi", "lazy-apps"],
)
def test_where_the_application_is_imported_and_whether_a_fork_calls_the_hook(
    command: str, here: bool, hooked: bool, database_url: str, tmp_path: Path
) -> None:
    (tmp_path / "gate").touch()
    with served(command, database_url, tmp_path) as (_, said):
        workers = [said.readline().split() for _ in range(2)]
    assert [worker[1:] for worker in workers] == [[str(here), str(hooked)]] * 2
    assert workers[0][0] != workers[1][0]


@pytest.mark.parametrize(
    ("command", "workers", "at_once"),
    [(UVICORN, 2, 3), (GUNICORN, 2, 4)],
    ids=["uvicorn", "gunicorn"],
)
async def test_a_reload_opens_more_pools_for_a_while(
    command: str,
    workers: int,
    at_once: int,
    database_url: str,
    tmp_path: Path,
    watcher: AsyncConnection,
) -> None:
    gate = tmp_path / "gate"
    gate.touch()
    with served(f"{command} --workers {workers}", database_url, tmp_path) as (server, said):
        for _ in range(workers):
            said.readline()
        assert await watcher.scalar(COUNT) == 3 * workers + 1
        gate.unlink()  # the new ones do not come into service yet
        server.send_signal(signal.SIGHUP)
        for _ in range(at_once - workers):
            said.readline()
        assert await watcher.scalar(COUNT) == 3 * at_once + 1
        gate.touch()


async def test_a_second_reload_of_gunicorn_opens_a_third_set_of_pools(
    database_url: str, tmp_path: Path, watcher: AsyncConnection
) -> None:
    gate = tmp_path / "gate"
    gate.touch()
    command = f"{GUNICORN} --workers 1 --graceful-timeout 1"
    with served(command, database_url, tmp_path) as (server, said):
        said.readline()
        gate.unlink()  # nobody ends, and the new ones do not come into service
        for _ in range(2):
            server.send_signal(signal.SIGHUP)
            said.readline()
        assert await watcher.scalar(COUNT) == 3 * 3 + 1
        gate.touch()


def lives(pid: int) -> bool:
    try:
        os.kill(pid, 0)
    except ProcessLookupError:
        return False
    return True


async def test_uvicorn_gives_a_reload_up_whose_worker_is_not_ready_in_time(
    database_url: str, tmp_path: Path, watcher: AsyncConnection
) -> None:
    gate = tmp_path / "gate"
    gate.touch()
    command = UVICORN.replace("healthcheck 60", "healthcheck 30")  # it says who it is before
    with served(f"{command} --workers 2", database_url, tmp_path) as (server, said):
        old = [int(said.readline().split()[0]) for _ in range(2)]
        gate.unlink()
        server.send_signal(signal.SIGHUP)
        new = int(said.readline().split()[0])

        async def has_ended() -> bool:
            return not lives(new)

        await eventually("the new one is killed", has_ended)
        assert all(map(lives, old))
        gate.touch()


@pytest.mark.parametrize(("brews", "left"), [("on", 1), ("cancelled", 0)])
async def test_a_background_task_is_not_cancelled_when_uvicorn_has_shut_down(
    brews: str, left: int, database_url: str, tmp_path: Path, watcher: AsyncConnection
) -> None:
    (tmp_path / "gate").touch()

    async def so_many() -> bool:
        return bool(await watcher.scalar(BREWING) == 1)

    with served(UVICORN, database_url, tmp_path, BREWS=brews) as (_, said):
        said.readline()
        await eventually("the query runs", so_many)
    assert await watcher.scalar(BREWING) == left
    await watcher.execute(STOP)


REQUEST = """
import asyncio, os
from fastapi import BackgroundTasks, FastAPI

app = FastAPI()

async def work():
    os.write(1, b"begins\\n")
    try:
        await asyncio.Event().wait()
    finally:
        os.write(1, b"cancelled\\n")

@app.get("/")
async def order(tasks: BackgroundTasks):
    tasks.add_task(work)
"""


def test_background_tasks_of_fastapi_are_cancelled_with_their_request(tmp_path: Path) -> None:
    (tmp_path / "app.py").write_text(REQUEST, "utf-8")
    with socket.create_server(("127.0.0.1", 0)) as listener:
        fd, address = listener.fileno(), listener.getsockname()
        with subprocess.Popen(
            [sys.executable, "-m", "uvicorn", "app:app", "--fd", str(fd), "--log-level",
             "critical", "--timeout-graceful-shutdown", "1"],
            cwd=tmp_path, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, encoding="utf-8",
            pass_fds=[fd],
        ) as server, socket.create_connection(address) as guest:  # fmt: skip
            assert server.stdout
            guest.sendall(b"GET / HTTP/1.0\r\n\r\n")
            assert server.stdout.readline() == "begins\n"
            server.terminate()
            assert server.stdout.read() == "cancelled\n"


KEEPS_THE_GIL = """
import ctypes, os, pathlib

os.write(1, b"imported\\n")
try:
    pathlib.Path("first").touch(exist_ok=False)
except FileExistsError:
    pass
else:
    ctypes.PyDLL(None).sleep(600)

async def app(scope, receive, send):
    raise NotImplementedError("no lifespan")
"""


def test_uvicorn_kills_a_worker_that_keeps_the_gil(tmp_path: Path) -> None:
    (tmp_path / "app.py").write_text(KEEPS_THE_GIL, "utf-8")
    with subprocess.Popen(
        [sys.executable, "-m", "uvicorn", "app:app", "--port", "0", "--workers", "2",
         "--log-level", "critical"],
        cwd=tmp_path, stdout=subprocess.PIPE, encoding="utf-8", process_group=0,
    ) as server:  # fmt: skip
        assert server.stdout
        try:
            assert [server.stdout.readline() for _ in range(3)] == ["imported\n"] * 3
        finally:
            os.killpg(server.pid, signal.SIGKILL)


SLOW_SCRIPT = """
import os, time, uvicorn

if __name__ == "__mp_main__":
    os.write(1, b"imported\\n")
    time.sleep(600)

async def app(scope, receive, send):
    raise NotImplementedError("no lifespan")

if __name__ == "__main__":
    uvicorn.run("script:app", port=0, workers=2, log_level="critical")
"""


def test_uvicorn_kills_a_worker_that_still_imports_the_script_that_started_it(
    tmp_path: Path,
) -> None:
    (tmp_path / "script.py").write_text(SLOW_SCRIPT, "utf-8")
    with subprocess.Popen(
        [sys.executable, "script.py"], cwd=tmp_path, stdout=subprocess.PIPE, encoding="utf-8",
        process_group=0,
    ) as server:  # fmt: skip
        assert server.stdout
        try:
            assert [server.stdout.readline() for _ in range(3)] == ["imported\n"] * 3
        finally:
            os.killpg(server.pid, signal.SIGKILL)


FORKED = """
import asyncio, os, sys
from sqlalchemy import text
from sqlalchemy.ext.asyncio import create_async_engine

engine = create_async_engine(sys.argv[1])

async def ask():
    try:
        async with engine.connect() as connection:
            return await connection.scalar(text("SELECT pg_backend_pid()"))
    except RuntimeError as error:
        return str(error).split("> ")[-1]

print(asyncio.run(ask()), flush=True)
for _ in range(2):
    if not os.fork():
        print(asyncio.run(ask()), flush=True)
        os._exit(0)
    os.wait()
"""


@pytest.mark.parametrize("driver", ["psycopg", "asyncpg"])
def test_on_psycopg_forked_children_use_the_connection_of_the_import_without_an_error(
    driver: str, database_url: str
) -> None:
    url = make_url(database_url).set(drivername=f"postgresql+{driver}")
    said = subprocess.run(
        [sys.executable, "-c", FORKED, url.render_as_string(hide_password=False)],
        stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, encoding="utf-8", check=True, timeout=60,
    ).stdout.split("\n")  # fmt: skip
    first, *others = said[:3]
    expected = first if driver == "psycopg" else "attached to a different loop"
    assert others == [expected] * 2


def test_the_pid_check_does_not_harm_the_parent_on_psycopg(database_url: str) -> None:
    url = make_url(database_url).set(drivername="postgresql+psycopg")
    environment = {**os.environ, "DATABASE_URL": url.render_as_string(hide_password=False)}
    ran = subprocess.run(
        [sys.executable, SNIPPETS / "production/workers/pid_check.py"], env=environment,
        stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, encoding="utf-8", timeout=60,
    )  # fmt: skip
    assert ran.stdout.splitlines() == ["parent: oolong", "child: oolong", "parent: oolong"]


def test_the_limits_that_the_page_names_are_the_defaults() -> None:
    assert import_module("gunicorn.config").GracefulTimeout.default == 30
    assert uvicorn.Config("app:app").timeout_graceful_shutdown is None
    assert uvicorn.Config("app:app").timeout_worker_healthcheck == 5
    assert "timeout_graceful_shutdown" not in UvicornWorker.CONFIG_KWARGS


BREWER = """
import asyncio, sys
from sqlalchemy import text
from sqlalchemy.ext.asyncio import create_async_engine

limit = {"server_settings": {"statement_timeout": sys.argv[2]}}
engine = create_async_engine(sys.argv[1], connect_args=limit)

async def main():
    async with engine.connect() as connection:
        await connection.execute(text("SELECT pg_sleep(600)"))

asyncio.run(main())
"""


def start_brewer(database_url: str, limit: str) -> "subprocess.Popen[bytes]":
    return subprocess.Popen([sys.executable, "-c", BREWER, database_url, limit])


async def test_statement_timeout_ends_the_query_of_a_killed_worker(
    database_url: str, watcher: AsyncConnection
) -> None:
    async def so_many(count: int) -> bool:
        return bool(await watcher.scalar(BREWING) == count)

    brewers = [start_brewer(database_url, limit) for limit in ("600s", "600s", "20s")]
    await eventually("all queries run", partial(so_many, 3))
    for brewer in brewers:
        brewer.kill()
        brewer.wait()
    await eventually("the one with the limit has ended", partial(so_many, 2))
    await watcher.execute(STOP)


STARTED = {"engine_each": 2, "graceful": 1, "killed": 2, "preload": 1, "uwsgi_loop": 2}


@pytest.mark.parametrize("name", STARTED)
@pytest.mark.parametrize("number", [signal.SIGKILL, signal.SIGINT])
def test_a_program_that_is_stopped_leaves_no_server_behind(
    name: str, number: signal.Signals, database_url: str, tmp_path: Path
) -> None:
    snippet = SNIPPETS / f"production/workers/{name}.py"
    stop_program(snippet, number, STARTED[name] + 1, database_url, tmp_path)
