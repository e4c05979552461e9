"""What the page on functions and jobs says beyond what its snippets print."""

import asyncio
import signal
import subprocess
import sys
import time
from collections.abc import AsyncIterator, Callable, Iterator
from contextlib import asynccontextmanager, contextmanager
from pathlib import Path
from typing import Any

import pytest
from fastapi import BackgroundTasks, FastAPI, Request
from mangum import Mangum
from sqlalchemy import exc, make_url, text
from sqlalchemy.ext.asyncio import (
    AsyncConnection,
    AsyncEngine,
    AsyncSession,
    create_async_engine,
)
from sqlalchemy.pool import NullPool

from tests.asking import ask
from tests.pools import MakeEngine, record, with_psycopg
from tests.processes import stop_program
from tests.waiting import eventually
from tools.paths import SNIPPETS

PID = text("SELECT pg_backend_pid()")
ALIVE = text("SELECT count(*) FROM pg_stat_activity WHERE pid = :pid")
OTHERS = "FROM pg_stat_activity WHERE datname = current_database() AND pid <> pg_backend_pid()"


# FastAPI behind Mangum

HTTP = {"method": "GET", "path": "/", "sourceIp": "127.0.0.1"}
GET: Any = {"version": "2.0", "rawPath": "/", "headers": {}, "requestContext": {"http": HTTP}}
CONTEXT: Any = None


@pytest.fixture
def loop() -> Iterator[asyncio.AbstractEventLoop]:
    """The loop that Mangum finds."""
    with asyncio.Runner() as runner:
        asyncio.set_event_loop(runner.get_loop())
        yield runner.get_loop()
        asyncio.set_event_loop(None)


def test_mangum_uses_one_event_loop_for_all_invocations(loop: asyncio.AbstractEventLoop) -> None:
    app, seen = FastAPI(), list[object]()
    app.add_api_route("/", lambda: None)

    @app.get("/loop")
    async def note() -> None:
        seen.append(asyncio.get_running_loop())

    path = GET | {"requestContext": {"http": HTTP | {"path": "/loop"}}}
    for lifespan in "auto", "off":
        for _ in range(2):
            assert Mangum(app, lifespan=lifespan)(path, CONTEXT)["statusCode"] == 200
    assert seen == [loop] * 4


@pytest.mark.filterwarnings("ignore:coroutine .* was never awaited")  # by Mangum
def test_an_asyncio_run_between_two_invocations_takes_the_loop_of_mangum_away(
    loop: asyncio.AbstractEventLoop,
) -> None:
    app = FastAPI()
    app.add_api_route("/", lambda: None)
    handler = Mangum(app, lifespan="off")
    assert handler(GET, CONTEXT)["statusCode"] == 200
    asyncio.run(asyncio.sleep(0))
    with pytest.raises(RuntimeError, match="There is no current event loop"):
        handler(GET, CONTEXT)


@pytest.mark.parametrize(("lifespan", "status"), [("auto", 200), ("off", 500)])
def test_with_lifespan_off_what_lifespan_makes_is_missing(
    lifespan: Any, status: int, loop: asyncio.AbstractEventLoop
) -> None:
    @asynccontextmanager
    async def prepare(app: FastAPI) -> AsyncIterator[None]:
        app.state.engine = "made"
        yield

    async def order(request: Request) -> str:
        return str(request.app.state.engine)

    app = FastAPI(lifespan=prepare)
    app.add_api_route("/", order)
    assert Mangum(app, lifespan=lifespan)(GET, CONTEXT)["statusCode"] == status


def test_a_lifespan_that_opens_and_closes_no_connection_may_stay_on(
    loop: asyncio.AbstractEventLoop, database_url: str
) -> None:
    engine, starts = create_async_engine(database_url), list[str]()
    opened = record(engine, "connect")

    @asynccontextmanager
    async def prepare(app: FastAPI) -> AsyncIterator[None]:
        starts.append("start")
        yield

    async def order() -> None:
        async with engine.connect() as connection:
            await connection.execute(PID)

    app = FastAPI(lifespan=prepare)
    app.add_api_route("/", order)
    handler = Mangum(app)
    for _ in range(3):
        handler(GET, CONTEXT)
    loop.run_until_complete(engine.dispose())
    assert (len(starts), len(opened)) == (3, 1)


def test_background_tasks_run_before_the_handler_returns(loop: asyncio.AbstractEventLoop) -> None:
    done = list[str]()

    async def write_down() -> None:
        await asyncio.sleep(0.01)
        done.append("written")

    async def order(tasks: BackgroundTasks) -> None:
        tasks.add_task(write_down)

    app = FastAPI()
    app.add_api_route("/", order)
    Mangum(app)(GET, CONTEXT)
    assert done == ["written"]


# One loop after another


def test_with_psycopg_the_second_invocation_works(database_url: str) -> None:
    engine = create_async_engine(with_psycopg(database_url))
    opened = record(engine, "connect")

    async def order() -> None:
        async with engine.connect() as connection:
            await connection.execute(PID)

    asyncio.run(order())
    asyncio.run(order())
    asyncio.run(engine.dispose())
    assert len(opened) == 1


async def test_a_second_connection_waits_for_the_first_and_in_vain_if_both_are_needed(
    make_engine: MakeEngine,
) -> None:
    patient = make_engine(pool_size=1, max_overflow=0)
    hasty = make_engine(pool_size=1, max_overflow=0, pool_timeout=0.1)

    async def order(engine: AsyncEngine) -> None:
        async with engine.connect() as connection:
            await connection.execute(PID)

    await asyncio.gather(*(order(patient) for _ in range(3)))
    async with hasty.connect():
        with pytest.raises(exc.TimeoutError):
            await order(hasty)


async def test_null_pool_leaves_nothing_at_the_server_between_two_invocations(
    make_engine: MakeEngine, watcher: AsyncConnection
) -> None:
    engine = make_engine(poolclass=NullPool)

    async def gone() -> object:
        return await watcher.scalar(text(f"SELECT count(*) {OTHERS}")) == 0

    async with engine.connect() as connection:
        await connection.execute(PID)
        assert not await gone()
    await eventually("the backend has ended", gone)


# Frozen instances

INSTANCE = """
import asyncio, sys
from sqlalchemy import text
from sqlalchemy.ext.asyncio import create_async_engine

settings = {"server_settings": eval(sys.argv[3])}
engine = create_async_engine(sys.argv[1], connect_args=settings, **eval(sys.argv[2]))
left = []

async def pid():
    async with engine.connect() as connection:
        return await connection.scalar(text("SELECT pg_backend_pid()"))

async def begin():
    async with engine.begin() as connection:
        await connection.execute(text("UPDATE orders SET drink = 'oolong'"))
        begun.set()
        await asyncio.sleep(0.5)

async def leave():
    global begun
    begun = asyncio.Event()
    left.append(asyncio.create_task(begin()))
    await begun.wait()

async def finish():
    return [type(error).__name__ for error in await asyncio.gather(*left, return_exceptions=True)]

with asyncio.Runner() as runner:
    for name in sys.stdin:
        print(runner.run(globals()[name.strip()]()), flush=True)
"""


class Instance:
    """A process that serves an invocation for each line it is sent."""

    def __init__(self, process: "subprocess.Popen[str]") -> None:
        self.process = process

    def invoke(self, name: str = "pid") -> str:
        """Let it serve one, and say what came out."""
        self.send(name)
        return self.answer()

    def send(self, name: str) -> None:
        """Hand it an invocation without waiting."""
        assert self.process.stdin
        self.process.stdin.write(f"{name}\n")
        self.process.stdin.flush()

    def answer(self) -> str:
        """What it says next."""
        assert self.process.stdout
        return self.process.stdout.readline().strip()


@contextmanager
def instance(
    url: str, settings: dict[str, str] | None = None, **options: Any
) -> Iterator[Instance]:
    command = [sys.executable, "-c", INSTANCE, url, repr(options), repr(settings or {})]
    pipes = {"stdin": subprocess.PIPE, "stdout": subprocess.PIPE}
    with subprocess.Popen(command, encoding="utf-8", stderr=subprocess.DEVNULL, **pipes) as process:  # type: ignore[call-overload]
        try:
            yield Instance(process)
        finally:
            process.kill()


def ended(watcher: AsyncConnection, pid: str) -> Callable[[], Any]:
    async def is_so() -> object:
        return await watcher.scalar(ALIVE, {"pid": int(pid)}) == 0

    return is_so


async def test_pool_recycle_reads_the_wall_clock(
    make_engine: MakeEngine, monkeypatch: pytest.MonkeyPatch
) -> None:
    engine = make_engine(pool_recycle=300)
    opened, now = record(engine, "connect"), 1_000_000_000.0
    monkeypatch.setattr(time, "time", lambda: now)

    async def order() -> int:
        await (await engine.connect()).close()
        return len(opened)

    assert await order() == 1
    monkeypatch.setattr(time, "time", lambda: now + 200)
    assert await order() == 1
    monkeypatch.setattr(time, "time", lambda: now + 400)
    assert await order() == 2
    monkeypatch.setattr(time, "monotonic", lambda: now + 4000)
    assert await order() == 2


async def test_the_time_for_which_a_process_is_frozen_counts_for_pool_recycle(
    database_url: str, watcher: AsyncConnection
) -> None:
    with instance(database_url, pool_recycle=2) as recycling, instance(database_url) as plain:
        first, second = recycling.invoke(), plain.invoke()
        for each in recycling, plain:
            each.process.send_signal(signal.SIGSTOP)
        await asyncio.sleep(2.5)  # what is older than two seconds only gets older
        assert not await ended(watcher, first)()
        for each in recycling, plain:
            each.process.send_signal(signal.SIGCONT)
        assert recycling.invoke() != first
        assert plain.invoke() == second
        await eventually("the old backend has ended", ended(watcher, first))


@pytest.mark.parametrize("pings", [True, False])
async def test_idle_session_timeout_ends_the_connection_of_a_frozen_process(
    pings: bool, database_url: str, watcher: AsyncConnection
) -> None:
    with instance(database_url, {"idle_session_timeout": "3s"}, pool_pre_ping=pings) as frozen:
        first = frozen.invoke()
        frozen.process.send_signal(signal.SIGSTOP)
        await eventually("the backend has ended", ended(watcher, first))
        frozen.process.send_signal(signal.SIGCONT)
        assert frozen.invoke().isdigit() is pings  # without a ping it fails, and ends


async def change_a_row(url: str) -> str:
    engine = create_async_engine(url, poolclass=NullPool)
    async with engine.begin() as connection:
        await connection.execute(text("SET LOCAL lock_timeout = '100ms'"))
        try:
            await connection.execute(text("UPDATE orders SET drink = 'pu-erh'"))
        except exc.DBAPIError:
            await connection.rollback()
            return "locked"
    return "changed"


@pytest.mark.parametrize("freezes", [True, False])
async def test_a_task_left_behind_holds_its_lock_until_the_next_invocation(
    freezes: bool, database_url: str
) -> None:
    await ask(database_url, "CREATE TABLE orders AS SELECT 'longjing' AS drink")
    with instance(database_url) as one:
        one.invoke("leave")
        if freezes:
            one.process.send_signal(signal.SIGSTOP)
        assert await change_a_row(database_url) == "locked"
        one.process.send_signal(signal.SIGCONT)
        assert one.invoke("finish") == "['NoneType']"
        assert await change_a_row(database_url) == "changed"


async def test_the_limit_ends_a_transaction_though_the_process_is_frozen_and_its_work_is_lost(
    database_url: str, watcher: AsyncConnection
) -> None:
    await ask(database_url, "CREATE TABLE orders AS SELECT 'longjing' AS drink")
    limit = {"idle_in_transaction_session_timeout": "1s"}

    async def unlocked() -> bool:
        return await change_a_row(database_url) == "changed"

    with instance(database_url, limit) as one:
        one.invoke("leave")
        one.process.send_signal(signal.SIGSTOP)
        await eventually("the row is free", unlocked)
        one.process.send_signal(signal.SIGCONT)
        assert one.invoke("finish") != "['NoneType']"
    assert await watcher.scalar(text("SELECT drink FROM orders")) == "pu-erh"


# Jobs

JOB = """
import asyncio, signal, sys
from sqlalchemy import NullPool, text
from sqlalchemy.ext.asyncio import create_async_engine

engine = create_async_engine(sys.argv[1])

async def work():
    async with engine.connect() as connection:
        await connection.execute(text("SELECT pg_advisory_lock(1)"))
        await connection.commit()
        if "transaction" in sys.argv[2]:
            await connection.execute(text("UPDATE orders SET drink = 'oolong'"))
        if "rows" in sys.argv[2]:
            rows = "SELECT repeat('x', 9999), pg_sleep(0.01) FROM generate_series(1, 60000)"
            await connection.execute(text(rows))
        if "query" in sys.argv[2]:
            await connection.execute(text("SELECT pg_sleep(600)"))
        print("at work", flush=True)
        await asyncio.Event().wait()

async def main():
    task = asyncio.create_task(work())
    if "cancels" in sys.argv[2]:
        asyncio.get_running_loop().add_signal_handler(signal.SIGTERM, task.cancel)
    try:
        await task
    finally:
        print("finally", flush=True)

asyncio.run(main())
"""


@contextmanager
def job(url: str, state: str) -> Iterator["subprocess.Popen[bytes]"]:
    command = [sys.executable, "-c", JOB, url, state]
    with subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL) as process:
        try:
            yield process
        finally:
            process.kill()


async def kill(
    process: "subprocess.Popen[bytes]", watcher: AsyncConnection, state: str, number: int
) -> bytes:
    """Wait until its backend is in this state, end it, and say what it printed."""

    async def is_so() -> object:
        return await watcher.scalar(text(f"SELECT count(*) {OTHERS} AND {state}"))

    await eventually(f"a backend has {state}", is_so)
    process.send_signal(number)
    return process.communicate()[0]


IDLE, OPEN, BUSY = "state = 'idle'", "state = 'idle in transaction'", "wait_event = 'PgSleep'"
HELD = text("SELECT count(*) FROM pg_locks WHERE locktype = 'advisory' AND granted")
STOP = text(f"SELECT count(pg_terminate_backend(pid, 60000)) {OTHERS} AND {BUSY}")


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGKILL])
@pytest.mark.parametrize(("state", "shown"), [("idle", IDLE), ("transaction", OPEN)])
async def test_a_backend_that_is_not_in_a_query_ends_with_its_process(
    state: str, shown: str, number: int, database_url: str, watcher: AsyncConnection
) -> None:
    await ask(database_url, "CREATE TABLE orders AS SELECT 'longjing' AS drink")

    async def alone() -> object:
        return await watcher.scalar(text(f"SELECT count(*) {OTHERS}")) == 0

    with job(database_url, state) as process:
        said = await kill(process, watcher, shown, number)
    assert b"finally" not in said
    await eventually("its backend has ended", alone)
    assert await change_a_row(database_url) == "changed"


async def test_the_lock_of_a_killed_job_stays_as_long_as_its_query(
    database_url: str, watcher: AsyncConnection
) -> None:
    async def free() -> object:
        return await watcher.scalar(HELD) == 0

    with job(database_url, "query") as process:
        await kill(process, watcher, BUSY, signal.SIGKILL)
    assert await watcher.scalar(HELD) == 1
    assert await watcher.scalar(text("SELECT pg_try_advisory_lock(1)")) is False
    assert await watcher.scalar(STOP) == 1
    await eventually("the lock is free", free)


@pytest.mark.parametrize("limit", ["0", "100ms"])
async def test_the_query_of_a_killed_job_ends_when_it_has_rows_to_send_or_the_socket_is_looked_at(
    limit: str, database_url: str, watcher: AsyncConnection
) -> None:
    async def free() -> object:
        return await watcher.scalar(HELD) == 0

    database = make_url(database_url).database
    interval = f"client_connection_check_interval TO '{limit}'"
    await ask(database_url, f'ALTER DATABASE "{database}" SET {interval}')
    with job(database_url, "rows" if limit == "0" else "query") as process:
        await kill(process, watcher, BUSY, signal.SIGKILL)
    await eventually("the lock is free", free)


async def test_a_job_that_sigterm_cancels_runs_finally_and_stops_its_query(
    database_url: str, watcher: AsyncConnection
) -> None:
    async def alone() -> object:
        return await watcher.scalar(text(f"SELECT count(*) {OTHERS}")) == 0

    with job(database_url, "query, cancels") as process:
        assert await kill(process, watcher, BUSY, signal.SIGTERM) == b"finally\n"
    await eventually("its backend has ended", alone)


async def test_a_session_on_the_connection_has_the_lock_and_one_on_the_engine_has_not(
    make_engine: MakeEngine,
) -> None:
    engine = make_engine(poolclass=NullPool)
    opened = record(engine, "connect")
    async with engine.connect() as connection:
        own = await connection.scalar(PID)
        await connection.commit()
        async with AsyncSession(connection) as session:
            for _ in range(3):
                assert await session.scalar(PID) == own
                await session.commit()
        assert len(opened) == 1
        async with AsyncSession(engine) as session:
            assert await session.scalar(PID) != own


@pytest.mark.parametrize("options", [{}, {"poolclass": NullPool}, {"pool_size": 1}])
async def test_a_job_on_one_connection_opens_one_whatever_the_pool(
    options: dict[str, Any], make_engine: MakeEngine
) -> None:
    engine = make_engine(**options)
    opened = record(engine, "connect")
    async with engine.connect() as connection:
        for _ in range(3):
            await connection.execute(PID)
            await connection.commit()
    assert len(opened) == 1


@pytest.mark.parametrize(("pool", "kept"), [({"poolclass": NullPool}, 0), ({"pool_size": 1}, 1)])
async def test_a_pool_would_keep_the_lock_of_a_job_that_is_done(
    pool: dict[str, Any], kept: int, make_engine: MakeEngine, watcher: AsyncConnection
) -> None:
    engine = make_engine(**pool)
    async with engine.connect() as connection:
        assert await connection.scalar(text("SELECT pg_try_advisory_lock(1)"))
        await connection.commit()
    assert await watcher.scalar(HELD) == kept


async def test_null_pool_connects_for_each_transaction_of_a_session(
    make_engine: MakeEngine,
) -> None:
    engine = make_engine(poolclass=NullPool)
    opened = record(engine, "connect")
    async with AsyncSession(engine) as session:
        for _ in range(2):
            await session.execute(PID)
            await session.commit()
    assert len(opened) == 2


async def test_what_is_set_for_the_database_does_not_reach_connections_made_before(
    database_url: str, make_engine: MakeEngine
) -> None:
    engine, shown = make_engine(), text("SHOW idle_session_timeout")
    setting = (
        f"ALTER DATABASE \"{make_url(database_url).database}\" SET idle_session_timeout TO '1h'"
    )
    async with engine.connect() as connection:
        await ask(database_url, setting)
        assert await connection.scalar(shown) == "0"
        async with engine.connect() as later:
            assert await later.scalar(shown) == "1h"


@pytest.mark.parametrize("cancels", [False, True])
def test_a_task_left_behind_stands_still_in_a_runner_and_is_cancelled_by_asyncio_run(
    cancels: bool,
) -> None:
    left = list[asyncio.Task[object]]()

    async def handle() -> None:
        left.append(asyncio.create_task(asyncio.sleep(600)))

    if cancels:
        asyncio.run(handle())
        assert left[0].cancelled()
    else:
        with asyncio.Runner() as runner:
            runner.run(handle())
            assert not left[0].done()


STARTED = {"frozen": 2, "instances": 3, "terminated": 1}


@pytest.mark.parametrize("name", STARTED)
@pytest.mark.parametrize("number", [signal.SIGKILL, signal.SIGINT])
def test_a_program_that_is_stopped_leaves_no_process_behind(
    name: str, number: signal.Signals, database_url: str, tmp_path: Path
) -> None:
    snippet = SNIPPETS / f"production/serverless/{name}.py"
    stop_program(snippet, number, STARTED[name], database_url, tmp_path)
