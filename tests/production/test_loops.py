"""What the page on event loops says beyond what its snippets print."""

import asyncio
import gc
import os
import signal
import subprocess
import sys
from collections.abc import Callable, Iterator
from contextlib import AbstractAsyncContextManager, contextmanager, nullcontext
from contextvars import ContextVar, copy_context
from pathlib import Path
from threading import Event, Thread
from types import ModuleType
from typing import Any

import httpx
import pytest
from apscheduler.schedulers.asyncio import AsyncIOScheduler
from asgiref.sync import ThreadSensitiveContext as Context
from asgiref.sync import async_to_sync
from asgiref.wsgi import WsgiToAsgi
from flask import Flask, g
from sqlalchemy import NullPool, text
from sqlalchemy.exc import TimeoutError as PoolTimeoutError
from sqlalchemy.ext.asyncio import AsyncEngine, AsyncSession, create_async_engine
from taskiq import InMemoryBroker
from taskiq.cli.worker.args import WorkerArgs

from tests import asking
from tests.loading import load_snippet
from tests.pools import MakeEngine, leaves_open
from tests.processes import list_members
from tests.waiting import wait_until
from tools.paths import SNIPPETS


async def ask(engine: AsyncEngine) -> None:
    async with engine.connect() as connection:
        await connection.execute(text("SELECT 1"))


def test_an_imported_name_keeps_what_it_held_before_the_fork(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    names: dict[str, Any] = {}
    monkeypatch.setitem(sys.modules, "db", ModuleType("db"))
    exec("import db\ndb.engine = None\nfrom db import engine", names)
    names["db"].engine = "made in worker_process_init"
    with pytest.raises(AttributeError, match="'NoneType' object has no attribute 'connect'"):
        names["engine"].connect()
    assert names["db"].engine == "made in worker_process_init"


@leaves_open
def test_until_a_loop_disposes_its_connections_are_lent_to_other_loops(
    database_url: str,
) -> None:
    engine = create_async_engine(database_url)
    asked, leave = Event(), Event()

    async def work() -> None:
        await ask(engine)
        asked.set()
        leave.wait()  # and the loop stands still: two that run may crash the process
        await engine.dispose(close=False)

    thread = Thread(target=asyncio.run, args=[work()])
    thread.start()
    asked.wait()
    with pytest.raises(RuntimeError, match="attached to a different loop"):
        asyncio.run(ask(engine))
    leave.set()
    thread.join()
    gc.collect()


def run_celery(
    name: str, tasks: str, database_url: str, folder: Path
) -> "subprocess.CompletedProcess[str]":
    """Run the snippet for Celery under this name, with other tasks and another end."""
    snippet = (SNIPPETS / "production/loops/celery_prefork.py").read_text("utf-8")
    head, _, _ = snippet.partition('if __name__ == "__main__":')
    head = head.replace("import worker_process_init", "import worker_process_init, worker_ready")
    (folder / f"{name}.py").write_text(head + tasks, "utf-8")
    return subprocess.run(
        [sys.executable, f"{name}.py"], cwd=folder, capture_output=True, encoding="utf-8",
        env={**os.environ, "DATABASE_URL": database_url}, timeout=120,
    )  # fmt: skip


def test_celery_runs_a_process_and_a_connection_for_each_of_its_concurrency(
    database_url: str, tmp_path: Path
) -> None:
    ran = run_celery("guide_two", TWO_AT_ONCE, database_url, tmp_path)
    assert ran.stdout.split() == ["2", "2"], ran.stderr


TWO_AT_ONCE = """
async def meet() -> list[int]:
    query = text("SELECT pid FROM pg_stat_activity WHERE datname = current_database()")
    async with engine.connect() as connection:
        while len(found := (await connection.scalars(query)).all()) < 2:
            await connection.rollback()
        return [os.getpid(), *sorted(found)]


@app.task(name="meet")
def met() -> list[int]:
    return runner.run(meet())


if __name__ == "__main__":
    command = [sys.executable, "-m", "celery", "-A", "guide_two", "worker", "-c", "2"]
    with Popen(command, stdout=DEVNULL, stderr=DEVNULL) as worker:
        sent = [met.delay() for _ in range(2)]
        first, second = (each.get(timeout=60) for each in sent)
        print(len({first[0], second[0]}), len({*first[1:], *second[1:]}))
        worker.terminate()
    rmtree(FOLDER)
"""


@pytest.mark.parametrize(
    ("pool", "printed"),
    [
        ("solo", ["oolong", "in the worker"]),
        ("threads", ["name 'runner' is not defined", "in the worker"]),
        ("prefork", ["oolong", "elsewhere"]),
    ],
)
def test_solo_calls_worker_process_init_and_threads_do_not(
    database_url: str, tmp_path: Path, pool: str, printed: list[str]
) -> None:
    ran = run_celery("guide_pool", ONE_POOL.replace("POOL", pool), database_url, tmp_path)
    assert ran.stdout.splitlines() == printed, ran.stderr


ONE_POOL = """
ready: list[int] = []


@worker_ready.connect
def note(**_: object) -> None:
    ready.append(os.getpid())


@app.task(name="where")
def where() -> str:
    return "in the worker" if ready == [os.getpid()] else "elsewhere"


if __name__ == "__main__":
    command = [sys.executable, "-m", "celery", "-A", "guide_pool", "worker", "-c", "1"]
    with Popen([*command, "--pool", "POOL"], stdout=DEVNULL, stderr=DEVNULL) as worker:
        sent = brew.delay()
        sent.get(timeout=60, propagate=False)
        print(sent.result)
        print(where.delay().get(timeout=60))
        worker.terminate()
    rmtree(FOLDER)
"""


def test_a_name_imported_before_the_fork_stays_what_it_was() -> None:
    module = ModuleType("shop")
    exec("engine = None\ndef start():\n    global engine\n    engine = 'made'", module.__dict__)
    engine = module.engine  # as `from shop import engine` does
    module.start()
    assert (engine, module.engine) == (None, "made")


def test_a_soft_time_limit_leaves_the_coroutine_and_its_connection_and_a_timeout_does_not(
    database_url: str, tmp_path: Path
) -> None:
    ran = run_celery("guide_limits", TWO_LIMITS, database_url, tmp_path)
    assert ran.stdout.splitlines() == ["TimeoutError 0", "SoftTimeLimitExceeded 1"], ran.stderr


TWO_LIMITS = """
async def wait(seconds: float | None) -> None:
    async with asyncio.timeout(seconds), engine.connect() as connection:
        await connection.execute(text("SELECT 1"))
        await asyncio.Event().wait()


@app.task(name="with a timeout")
def timeout() -> None:
    runner.run(wait(1))


@app.task(name="with a soft limit", soft_time_limit=2)
def limited() -> None:
    runner.run(wait(None))


@app.task(name="lent")
def lent() -> int:
    runner.run(order())
    return engine.pool.checkedout()


if __name__ == "__main__":
    command = [sys.executable, "-m", "celery", "-A", "guide_limits", "worker", "-c", "1"]
    with Popen(command, stdout=DEVNULL, stderr=DEVNULL) as worker:
        for task in (timeout, limited):
            failed = task.delay()
            failed.get(timeout=60, propagate=False)
            print(type(failed.result).__name__, lent.delay().get(timeout=60))
        worker.terminate()
    rmtree(FOLDER)
"""


def test_a_soft_time_limit_that_meets_a_coroutine_at_work_is_raised_inside_of_it(
    database_url: str, tmp_path: Path
) -> None:
    ran = run_celery("guide_at_work", AT_WORK, database_url, tmp_path)
    assert ran.stdout.splitlines() == ["raised inside"], ran.stderr


AT_WORK = """
from celery.exceptions import SoftTimeLimitExceeded


async def compute() -> str:
    try:
        while True:
            pass
    except SoftTimeLimitExceeded:
        return "raised inside"


@app.task(name="at work", soft_time_limit=1)
def work() -> str:
    return runner.run(compute())


if __name__ == "__main__":
    command = [sys.executable, "-m", "celery", "-A", "guide_at_work", "worker", "-c", "1"]
    with Popen(command, stdout=DEVNULL, stderr=DEVNULL) as worker:
        print(work.delay().get(timeout=60))
        worker.terminate()
    rmtree(FOLDER)
"""


@pytest.mark.parametrize("number", [signal.SIGKILL, signal.SIGINT])
def test_celery_ends_with_the_program_that_started_it(
    number: signal.Signals, database_url: str, tmp_path: Path
) -> None:
    snippet = SNIPPETS / "production/loops/celery_prefork.py"
    (tmp_path / "guide_stopped.py").write_bytes(snippet.read_bytes())
    with subprocess.Popen(
        [sys.executable, "guide_stopped.py"], cwd=tmp_path, stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL, process_group=0,
        env={**os.environ, "DATABASE_URL": database_url, "TMPDIR": str(tmp_path)},
    ) as program:  # fmt: skip
        wait_until("Celery has forked", lambda: len(list_members(program.pid)) > 3)
        program.send_signal(number)
        program.wait(60)
        wait_until("all have ended", lambda: not list_members(program.pid))


def test_runs_of_one_runner_share_their_context_variables() -> None:
    tea = ContextVar("tea", default="none")

    async def order(drink: str) -> str:
        before = tea.get()
        tea.set(drink)
        return before

    with asyncio.Runner() as runner:
        runner.run(order("oolong"))
        assert runner.run(order("longjing")) == "oolong"
    with asyncio.Runner() as runner:
        runner.run(order("oolong"), context=copy_context())
        assert runner.run(order("longjing"), context=copy_context()) == "none"


def test_a_worker_of_taskiq_runs_a_hundred_tasks_at_once_in_two_processes_by_default() -> None:
    arguments = WorkerArgs.from_cli(["shop:broker"])
    assert (arguments.max_async_tasks, arguments.workers) == (100, 2)


async def test_the_broker_in_memory_does_not_heed_the_limit() -> None:
    broker, running, everybody = InMemoryBroker(max_async_tasks=2), [0], asyncio.Event()

    @broker.task
    async def wait() -> None:
        running[0] += 1
        if running[0] == 3:
            everybody.set()
        await everybody.wait()

    await broker.startup()
    async with asyncio.timeout(30):
        for task in [await wait.kiq() for _ in range(3)]:
            await task.wait_result()
    await broker.shutdown()


async def test_a_semaphore_around_the_session_keeps_the_others_out_of_the_queue(
    make_engine: MakeEngine,
) -> None:
    engine = make_engine(pool_size=5, max_overflow=0, pool_timeout=0)
    gate = asyncio.Semaphore(5)

    async def task() -> None:
        async with gate:
            await ask(engine)

    await asyncio.gather(*(task() for _ in range(20)))


async def test_tasks_shorter_than_pool_timeout_fail_too_if_they_wait_for_several(
    make_engine: MakeEngine,
) -> None:
    engine = make_engine(pool_size=1, max_overflow=0, pool_timeout=1)

    async def task() -> None:
        async with engine.connect() as connection:
            await connection.execute(text("SELECT pg_sleep(0.6)"))

    ends = await asyncio.gather(*(task() for _ in range(3)), return_exceptions=True)
    assert PoolTimeoutError in [type(end) for end in ends]


async def test_whoever_waits_in_the_thread_of_the_loop_waits_for_itself() -> None:
    loop = asyncio.get_running_loop()
    waiting = asyncio.run_coroutine_threadsafe(asyncio.sleep(0), loop)
    with pytest.raises(TimeoutError):
        waiting.result(0.2)
    await asyncio.wrap_future(waiting)


@contextmanager
def another_loop() -> Iterator[asyncio.AbstractEventLoop]:
    """A loop that runs in a thread of its own."""
    loop = asyncio.new_event_loop()
    thread = Thread(target=loop.run_forever)
    thread.start()
    try:
        yield loop
    finally:
        loop.call_soon_threadsafe(loop.stop)
        thread.join()
        loop.close()


async def test_async_code_that_waits_for_another_loop_stops_its_own(
    make_engine: MakeEngine, database_url: str
) -> None:
    lock = "SELECT pg_advisory_xact_lock(7)"
    locked, leave = asyncio.Event(), asyncio.Event()

    async def hold() -> None:
        async with make_engine().begin() as connection:
            await connection.execute(text(lock))
            locked.set()
            await leave.wait()

    with another_loop() as other:
        async with asyncio.TaskGroup() as tasks:
            tasks.create_task(hold())
            await locked.wait()
            leave.set()  # hold() ends as soon as this loop goes on
            waiting = asyncio.run_coroutine_threadsafe(asking.ask(database_url, lock), other)
            with pytest.raises(TimeoutError):
                waiting.result(0.5)
            await asyncio.wrap_future(waiting)


def test_async_to_sync_makes_a_loop_for_each_call() -> None:
    async def loop() -> asyncio.AbstractEventLoop:
        return asyncio.get_running_loop()

    first, second = (async_to_sync(loop)() for _ in range(2))
    assert first is not second


def test_a_thread_that_waits_no_longer_gives_the_connection_back(database_url: str) -> None:
    names = load_snippet(
        "production/loops/one_loop.py",
        database_url,
        before="thread.start()",
        changes={"result(timeout=30)": "result(timeout=patience)"},
        patience=30,
    )
    lent, leave = Event(), asyncio.Event()

    async def hold() -> None:
        async with names["engine"].connect():
            lent.set()
            await leave.wait()

    names["thread"].start()
    names["run"](names["order"]())
    names["patience"] = 0.2
    with pytest.raises(TimeoutError):
        names["run"](hold())
    assert lent.wait(30)
    try:
        pool = names["engine"].pool
        wait_until("the connection is back", lambda: pool.checkedout() == 0)
    finally:
        names["loop"].call_soon_threadsafe(leave.set)
        names["patience"] = 30
        names["run"](names["engine"].dispose())
        names["loop"].call_soon_threadsafe(names["loop"].stop)
        names["thread"].join()
        names["loop"].close()


async def test_behind_wsgi_to_asgi_all_async_views_of_flask_share_the_loop_and_a_pool(
    make_engine: MakeEngine,
) -> None:
    engine, app, loops = make_engine(pool_size=1, max_overflow=0), Flask("shop"), set[object]()

    @app.get("/")
    async def order() -> str:
        loops.add(asyncio.get_running_loop())
        await ask(engine)
        return "oolong"

    transport = httpx.ASGITransport(WsgiToAsgi(app))  # type: ignore[no-untyped-call]
    async with httpx.AsyncClient(transport=transport, base_url="http://tea") as client:
        answers = await asyncio.gather(*(client.get("/") for _ in range(5)))
    assert [answer.text for answer in answers] == ["oolong"] * 5
    assert loops == {asyncio.get_running_loop()}


@pytest.mark.parametrize(("context", "served"), [(nullcontext, "alone"), (Context, "together")])
async def test_wsgi_to_asgi_serves_one_request_after_another_unless_each_has_a_context(
    context: Callable[[], AbstractAsyncContextManager[object]], served: str
) -> None:
    app, two = Flask("shop"), asyncio.Barrier(2)

    @app.get("/")
    async def order() -> str:
        try:
            async with asyncio.timeout(2):
                await two.wait()
        except TimeoutError:
            return "alone"
        return "together"

    adapter = WsgiToAsgi(app)  # type: ignore[no-untyped-call]

    async def serve(*call: Any) -> None:
        async with context():
            await adapter(*call)

    transport = httpx.ASGITransport(serve)
    async with httpx.AsyncClient(transport=transport, base_url="http://tea") as client:
        answers = await asyncio.gather(client.get("/"), client.get("/"))
    assert [answer.text for answer in answers] == [served] * 2


@leaves_open
def test_a_session_of_an_async_before_request_belongs_to_another_loop_than_the_view(
    database_url: str,
) -> None:
    engine, app = create_async_engine(database_url, poolclass=NullPool), Flask("shop")

    @app.before_request
    async def open_session() -> None:
        g.session = AsyncSession(engine)
        await g.session.execute(text("SELECT 1"))

    @app.get("/")
    async def order() -> str:
        with pytest.raises(RuntimeError, match="attached to a different loop"):
            await g.session.execute(text("SELECT 1"))
        return "refused"

    assert app.test_client().get("/").text == "refused"
    gc.collect()


def test_a_scheduler_started_outside_of_a_loop_finds_none() -> None:
    with pytest.raises(RuntimeError, match="no running event loop"):
        AsyncIOScheduler().start()
