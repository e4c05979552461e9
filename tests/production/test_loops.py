"""What the page on event loops says beyond what its snippets print."""

import asyncio
import gc
import os
import signal
import subprocess
import sys
from pathlib import Path
from threading import Event, Thread

import pytest
from sqlalchemy import text
from sqlalchemy.ext.asyncio import AsyncEngine, create_async_engine
from taskiq import InMemoryBroker
from taskiq.cli.worker.args import WorkerArgs

from tests.pools import MakeEngine, leaves_open
from tests.processes import list_members
from tests.waiting import wait_until
from tools.paths import SNIPPETS


async def ask(engine: AsyncEngine) -> None:
    async with engine.connect() as connection:
        await connection.execute(text("SELECT 1"))


@leaves_open
def test_until_a_loop_disposes_its_connections_are_lent_to_other_loops(
    database_url: str,
) -> None:
    engine = create_async_engine(database_url)
    asked, leave = Event(), Event()

    async def work() -> None:
        await ask(engine)
        asked.set()
        await asyncio.to_thread(leave.wait)
        await engine.dispose(close=False)

    thread = Thread(target=asyncio.run, args=[work()])
    thread.start()
    asked.wait()
    with pytest.raises(RuntimeError, match="attached to a different loop"):
        asyncio.run(ask(engine))
    leave.set()
    thread.join()
    gc.collect()


def test_celery_runs_a_process_and_a_connection_for_each_of_its_concurrency(
    database_url: str, tmp_path: Path
) -> None:
    snippet = (SNIPPETS / "production/loops/celery_prefork.py").read_text("utf-8")
    program = tmp_path / "guide_two.py"
    head, _, _ = snippet.partition('if __name__ == "__main__":')
    program.write_text(head + TWO_AT_ONCE, "utf-8")
    ran = subprocess.run(
        [sys.executable, program.name], cwd=tmp_path, capture_output=True, encoding="utf-8",
        env={**os.environ, "DATABASE_URL": database_url}, timeout=120,
    )  # fmt: skip
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


def test_a_worker_of_taskiq_runs_a_hundred_tasks_at_once_by_default() -> None:
    assert WorkerArgs.from_cli(["shop:broker"]).max_async_tasks == 100


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


async def test_whoever_waits_in_the_thread_of_the_loop_waits_for_itself() -> None:
    loop = asyncio.get_running_loop()
    waiting = asyncio.run_coroutine_threadsafe(asyncio.sleep(0), loop)
    with pytest.raises(TimeoutError):
        waiting.result(0.2)
    await asyncio.wrap_future(waiting)
