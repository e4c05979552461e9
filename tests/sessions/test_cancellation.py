"""What the page on cancellation claims beyond the lines that its snippets print."""

import asyncio
import gc
import logging
import signal
import socket
import sys
from collections.abc import AsyncIterator, Callable, Coroutine
from contextlib import AsyncExitStack, asynccontextmanager, suppress
from urllib.parse import urlsplit

import anyio
import pytest
from fastapi import FastAPI, Request
from fastapi.responses import StreamingResponse
from sqlalchemy import NullPool, QueuePool, create_engine, event, text
from sqlalchemy.engine.interfaces import DBAPIConnection, DBAPICursor
from sqlalchemy.exc import DBAPIError, PendingRollbackError, SAWarning
from sqlalchemy.ext.asyncio import (
    AsyncEngine,
    AsyncSession,
    async_sessionmaker,
    create_async_engine,
)
from sqlalchemy.orm import Session
from starlette.middleware.base import RequestResponseEndpoint
from starlette.responses import Response

from tests.asking import backends as count_backends
from tests.pools import (
    MakeEngine,
    both_drivers,
    checked_out,
    engine_for,
    leaves_open,
    record,
    with_psycopg,
)
from tests.processes import hear_everything
from tests.serving import running
from tests.versions import IS_2_0
from tests.waiting import DEADLINE, eventually
from tools.postgres import Proxy

SELECT = text("SELECT 'oolong'")
SLEEP = text("SELECT pg_sleep(60)")

Step = Callable[[], Coroutine[None, None, None]]


class Backends:
    """What PostgreSQL sees of the application in a database."""

    def __init__(self, database_url: str) -> None:
        self._engine = create_async_engine(database_url, poolclass=NullPool)

    async def scalar(self, statement: str) -> object:
        async with self._engine.begin() as connection:
            return await connection.scalar(text(statement))

    async def execute(self, *statements: str) -> None:
        async with self._engine.begin() as connection:
            for statement in statements:
                await connection.execute(text(statement))

    @asynccontextmanager
    async def holding_lock(self) -> AsyncIterator[None]:
        """Hold the advisory lock 1 that others wait for."""
        async with self._engine.connect() as connection:
            await connection.execute(text("SELECT pg_advisory_xact_lock(1)"))
            yield

    async def count(self, wait_event: str = "%") -> object:
        """How many there are, or how many of them wait for this."""
        return await self.scalar(
            "SELECT count(*) FROM pg_stat_activity WHERE datname = current_database() "
            f"AND application_name = 'teahouse' AND wait_event LIKE '{wait_event}'"
        )

    async def until(self, expected: int, wait_event: str = "PgSleep") -> None:
        """Wait until so many of them wait for this."""

        async def so_many() -> bool:
            return await self.count(wait_event) == expected

        await eventually(f"{expected} connections wait for {wait_event}", so_many)


@pytest.fixture
def backends(database_url: str) -> Backends:
    return Backends(database_url)


def named(make: MakeEngine, *url: str, size: int = 1, **settings: str) -> AsyncEngine:
    """An engine with so many connections, which nobody waits for."""
    settings |= {"application_name": "teahouse"}
    return make(
        *url,
        pool_size=size,
        max_overflow=0,
        pool_timeout=0,
        connect_args={"server_settings": settings},
    )


@pytest.fixture
def engine(make_engine: MakeEngine) -> AsyncEngine:
    return named(make_engine)


async def select(engine: AsyncEngine) -> None:
    async with AsyncSession(engine) as session:
        await session.execute(SELECT)


async def sleep(engine: AsyncEngine) -> None:
    async with AsyncSession(engine) as session:
        await session.execute(SLEEP)


# Who cancels


async def cancel(query: Step, reached: Step) -> None:
    task = asyncio.create_task(query())
    await reached()
    task.cancel()
    await asyncio.wait([task])
    assert task.cancelled()


async def timeout(query: Step, reached: Step) -> None:
    with suppress(TimeoutError):
        async with asyncio.timeout(None) as limit, asyncio.TaskGroup() as group:

            async def expire() -> None:
                await reached()
                limit.reschedule(0)

            group.create_task(expire())
            await query()
    assert limit.expired()


async def wait_for(query: Step, reached: Step) -> None:
    timed_out, was_reached = await asyncio.gather(
        asyncio.wait_for(query(), 2), reached(), return_exceptions=True
    )
    assert isinstance(timed_out, TimeoutError)
    assert was_reached is None


async def task_group(query: Step, reached: Step) -> None:
    try:
        async with asyncio.TaskGroup() as group:

            async def fail() -> None:
                await reached()
                raise LookupError

            group.create_task(fail())
            await query()
    except* LookupError:
        pass


async def anyio_task_group(query: Step, reached: Step) -> None:
    async with anyio.create_task_group() as group:
        group.start_soon(query)
        await reached()
        group.cancel_scope.cancel()


async def anyio_fail_after(query: Step, reached: Step) -> None:
    with suppress(TimeoutError), anyio.fail_after(None) as scope:
        await _until_expired(scope, query, reached)
    assert scope.cancelled_caught


async def anyio_move_on_after(query: Step, reached: Step) -> None:
    with anyio.move_on_after(None) as scope:
        await _until_expired(scope, query, reached)
    assert scope.cancelled_caught


async def _until_expired(scope: anyio.CancelScope, query: Step, reached: Step) -> None:
    async def expire() -> None:
        await reached()
        scope.deadline = anyio.current_time()

    expiring = asyncio.create_task(expire())
    await query()
    await expiring


by_asyncio = pytest.mark.parametrize("give_up", [cancel, timeout, wait_for, task_group])
by_anyio = pytest.mark.parametrize(
    "give_up", [anyio_task_group, anyio_fail_after, anyio_move_on_after]
)
GiveUp = Callable[[Step, Step], Coroutine[None, None, None]]


@by_asyncio
async def test_what_asyncio_cancels_stops_on_the_server(
    engine: AsyncEngine, backends: Backends, give_up: GiveUp
) -> None:
    await give_up(lambda: sleep(engine), lambda: backends.until(1))
    assert checked_out(engine) == 0
    await backends.until(0)


@by_anyio
async def test_what_anyio_cancels_runs_on_and_the_next_session_works(
    engine: AsyncEngine, backends: Backends, caplog: pytest.LogCaptureFixture, give_up: GiveUp
) -> None:
    with caplog.at_level(logging.WARNING, "sqlalchemy"):
        await give_up(lambda: sleep(engine), lambda: backends.until(1))
    assert checked_out(engine) == 0
    assert caplog.messages == []
    await select(engine)
    assert await backends.count("PgSleep") == 1


async def test_what_anyio_cancels_says_so(engine: AsyncEngine, backends: Backends) -> None:
    said = list[str]()

    async def query() -> None:
        try:
            await sleep(engine)
        except asyncio.CancelledError as error:
            said.append(str(error))
            raise

    await anyio_task_group(query, lambda: backends.until(1))
    [words] = said
    assert words.startswith("Cancelled via cancel scope")


async def test_a_second_cancellation_leaves_the_query_running(
    engine: AsyncEngine, backends: Backends
) -> None:
    task = asyncio.create_task(sleep(engine))
    await backends.until(1)
    event.listen(engine.sync_engine, "close", lambda *_: task.cancel())
    task.cancel()
    await asyncio.wait([task])
    assert task.cancelled()
    assert checked_out(engine) == 0
    assert await backends.count("PgSleep") == 1


async def test_two_cancellations_in_the_same_turn_of_the_loop_stop_the_query(
    engine: AsyncEngine, backends: Backends
) -> None:
    task = asyncio.create_task(sleep(engine))
    await backends.until(1)
    task.cancel()
    task.cancel()
    await asyncio.wait([task])
    await backends.until(0)


PROGRAM = """
import asyncio, os, signal, sys
from sqlalchemy import event, text
from sqlalchemy.ext.asyncio import create_async_engine

async def main(url, times):
    settings = {"server_settings": {"application_name": "teahouse"}}
    engine = create_async_engine(url, connect_args=settings)
    if times == "2":
        event.listen(engine.sync_engine, "close", lambda *_: os.kill(os.getpid(), signal.SIGINT))
    async with engine.connect() as connection:
        await connection.execute(text("SELECT pg_sleep(60)"))

RUN(main(*sys.argv[1:]))
"""


@pytest.mark.parametrize(
    ("run", "times", "left"),
    [
        ("asyncio.run", 1, 0),
        ("asyncio.run", 2, 1),
        ("asyncio.new_event_loop().run_until_complete", 1, 1),
    ],
)
async def test_one_ctrl_c_under_asyncio_run_stops_the_query_and_others_leave_it(
    database_url: str, backends: Backends, run: str, times: int, left: int
) -> None:
    program = await asyncio.create_subprocess_exec(
        *(sys.executable, "-c", PROGRAM.replace("RUN", run), database_url, str(times)),
        stderr=asyncio.subprocess.PIPE,
        preexec_fn=hear_everything,
    )
    await backends.until(1)
    program.send_signal(signal.SIGINT)
    _, said = await program.communicate()
    assert b"KeyboardInterrupt" in said
    if left:
        assert await backends.count("PgSleep") == left
    else:
        await backends.until(left)


async def test_a_limit_around_a_limit_that_strikes_while_it_closes_leaves_the_query_running(
    engine: AsyncEngine, backends: Backends
) -> None:
    async def limited() -> None:
        async with asyncio.timeout(None) as outer, asyncio.timeout(None) as inner:
            event.listen(engine.sync_engine, "close", lambda *_: outer.reschedule(0))
            limits.append(inner)
            await sleep(engine)

    limits: list[asyncio.Timeout] = []
    task = asyncio.create_task(limited())
    await backends.until(1)
    limits[0].reschedule(0)
    with pytest.raises(TimeoutError):
        await task
    assert checked_out(engine) == 0
    assert await backends.count("PgSleep") == 1


async def test_in_a_task_group_a_failure_beside_a_query_that_times_out_leaves_it_running(
    engine: AsyncEngine, backends: Backends
) -> None:
    closing = asyncio.get_running_loop().create_future()
    event.listen(engine.sync_engine, "close", lambda *_: closing.set_result(None))

    async def timed_out() -> None:
        async with asyncio.timeout(1.5):
            await sleep(engine)

    async def sibling() -> None:
        await closing
        raise LookupError

    async def group() -> None:
        async with asyncio.TaskGroup() as tasks:
            tasks.create_task(timed_out())
            tasks.create_task(sibling())

    with pytest.raises(ExceptionGroup):
        await group()
    assert checked_out(engine) == 0
    assert await backends.count("PgSleep") == 1


async def five(engine: AsyncEngine, *, return_exceptions: bool) -> None:
    """Five queries, each under a limit of its own."""

    async def query() -> None:
        async with asyncio.timeout(1.5):
            await sleep(engine)

    await asyncio.gather(*(query() for _ in range(5)), return_exceptions=return_exceptions)


async def test_five_limits_under_gather_that_returns_exceptions_stop_five_queries(
    make_engine: MakeEngine, backends: Backends
) -> None:
    engine = named(make_engine, size=5)
    for _ in range(3):
        await five(engine, return_exceptions=True)
        await backends.until(0)


async def test_one_limit_around_a_task_group_stops_all_its_queries(
    make_engine: MakeEngine, backends: Backends
) -> None:
    engine = named(make_engine, size=5)

    async def group() -> None:
        async with asyncio.TaskGroup() as tasks:
            for _ in range(5):
                tasks.create_task(sleep(engine))

    for _ in range(3):
        await timeout(group, lambda: backends.until(5))
        await backends.until(0)


async def test_a_cancel_request_that_does_not_arrive_leaves_the_query_running(
    database_url: str, make_engine: MakeEngine, backends: Backends
) -> None:
    async with asyncio.timeout(DEADLINE), Proxy(database_url) as proxy:
        through = proxy.url.update_query_dict({"ssl": "disable"})
        engine = named(make_engine, through.render_as_string(hide_password=False))

        async def reached() -> None:
            await backends.until(1)
            proxy.accepts = False

        await cancel(lambda: sleep(engine), reached)
        assert checked_out(engine) == 0
        assert await backends.count("PgSleep") == 1
        await engine.dispose()


# When it strikes


@pytest.mark.parametrize("give_up", [cancel, anyio_task_group])
async def test_cancelled_in_the_queue_nothing_is_lost(
    make_engine: MakeEngine, give_up: GiveUp
) -> None:
    engine = make_engine(pool_size=1, max_overflow=0)
    happened = record(engine, "checkout", "invalidate", "close")
    async with engine.connect():
        await give_up(lambda: select(engine), lambda: asyncio.sleep(0))
    assert happened == ["checkout"]
    assert checked_out(engine) == 0


async def test_a_connection_that_comes_back_at_that_moment_does_not_undo_the_cancellation(
    make_engine: MakeEngine,
) -> None:
    engine = make_engine(pool_size=1, max_overflow=0)
    holder = await engine.connect()
    task = asyncio.create_task(select(engine))
    await asyncio.sleep(0)
    await holder.close()
    task.cancel()
    await asyncio.wait([task])
    assert task.cancelled()
    assert checked_out(engine) == 0


@by_anyio
async def test_cancelled_while_connecting_the_slot_is_free(
    make_engine: MakeEngine, give_up: GiveUp
) -> None:
    accepted: list[socket.socket] = []

    async def reached() -> None:
        line, _ = await asyncio.get_running_loop().sock_accept(silent)
        accepted.append(line)  # and says nothing on it

    with socket.create_server(("127.0.0.1", 0)) as silent:
        silent.setblocking(False)
        _, port = silent.getsockname()
        engine = named(make_engine, f"postgresql+asyncpg://tea@127.0.0.1:{port}/house?ssl=disable")
        await give_up(lambda: select(engine), reached)
        assert checked_out(engine) == 0
    for line in accepted:
        line.close()


@both_drivers
async def test_a_ping_that_anyio_gives_up_gives_its_place_back(
    database_url: str, make_engine: MakeEngine, driver: str
) -> None:
    async with Proxy(database_url) as proxy:
        options = {"pool_size": 1, "max_overflow": 0, "pool_pre_ping": True}
        engine = engine_for(make_engine, proxy.url, driver, **options)
        await select(engine)
        proxy.flows.clear()
        await anyio_move_on_after(
            lambda: select(engine),
            lambda: eventually("the ping is sent", lambda: proxy.turns[-1] == "client"),
        )
        assert checked_out(engine) == 0
        proxy.flows.set()
        await select(engine)
        await engine.dispose()


@leaves_open
async def test_cancelled_without_a_context_manager_the_connection_is_lost(
    engine: AsyncEngine,
) -> None:
    borrowed = asyncio.Event()

    async def work() -> None:
        session = AsyncSession(engine)
        await session.execute(SELECT)
        borrowed.set()
        await asyncio.Event().wait()

    async def reached() -> None:
        await borrowed.wait()

    gc.disable()
    try:
        await cancel(work, reached)
        assert checked_out(engine) == 1
        with pytest.warns(SAWarning, match="non-checked-in connection"):
            gc.collect()
        assert checked_out(engine) == 0
    finally:
        gc.enable()


def test_an_exception_that_is_kept_keeps_the_connection_of_a_synchronous_session(
    database_url: str,
) -> None:
    engine = create_engine(with_psycopg(database_url))
    pool = engine.pool
    assert isinstance(pool, QueuePool)

    def bare() -> None:
        session = Session(engine)
        session.execute(SELECT)
        raise LookupError

    def closed() -> None:
        with Session(engine) as session:
            session.execute(SELECT)
            raise LookupError

    with pytest.raises(LookupError) as kept:
        bare()
    gc.collect()
    assert pool.checkedout() == 1
    del kept
    gc.collect()
    assert pool.checkedout() == 0
    with pytest.raises(LookupError) as kept:
        closed()
    assert (pool.checkedout(), kept.type) == (0, LookupError)
    engine.dispose()


async def test_cancelled_in_sql_of_a_listener_2_0_loses_the_commits_that_follow(
    engine: AsyncEngine, backends: Backends
) -> None:
    await backends.execute("CREATE TABLE orders (drink text)")
    await select(engine)
    task = asyncio.create_task(commit_of_the_session(engine))

    def set_tenant(_: object, cursor: DBAPICursor, *__: object) -> None:
        task.cancel()
        cursor.execute("SELECT set_config('teahouse.tenant', '1', true)")

    event.listen(engine.sync_engine, "before_cursor_execute", set_tenant, once=True)
    happened = record(engine, "invalidate", "commit")
    await asyncio.wait([task])
    await commit_of_the_session(engine)
    assert task.cancelled()
    assert happened == (["commit"] if IS_2_0 else ["invalidate", "commit"])
    assert await backends.scalar("SELECT count(*) FROM orders") == (0 if IS_2_0 else 1)


@both_drivers
async def test_a_connect_listener_that_raises_leaves_no_backend(
    make_engine: MakeEngine, database_url: str, driver: str
) -> None:
    engine = engine_for(make_engine, database_url, driver)

    @event.listens_for(engine.sync_engine, "connect")
    def fail(connection: DBAPIConnection, _: object) -> None:
        connection.cursor().execute("SELECT 1 / 0")

    with pytest.raises(DBAPIError, match="division by zero") as kept:
        await select(engine)
    assert checked_out(engine) == 0

    async def none_left() -> bool:
        return await count_backends(database_url) == 0

    await eventually("its backend has ended", none_left)
    assert kept.value  # which a monitoring tool keeps, and with it the frames


# What an abandoned query still does


async def abandon(engine: AsyncEngine, backends: Backends, *statements: str) -> None:
    """Have AnyIO give up while the last statement waits for the lock 1."""

    async def work() -> None:
        async with engine.connect() as connection:
            for statement in statements:
                await connection.execute(text(statement))

    await anyio_task_group(work, lambda: backends.until(1, "advisory"))


async def test_an_abandoned_query_keeps_the_locks_of_its_transaction(
    engine: AsyncEngine, backends: Backends
) -> None:
    await backends.execute("CREATE TABLE orders (drink text)", "INSERT INTO orders VALUES ('tea')")
    async with backends.holding_lock():
        await abandon(
            engine, backends, "UPDATE orders SET drink = 'oolong'", "SELECT pg_advisory_lock(1)"
        )
        with pytest.raises(DBAPIError, match="canceling statement due to lock timeout"):
            await backends.execute("SET LOCAL lock_timeout = '100ms'", "DELETE FROM orders")


@pytest.mark.parametrize(("isolation_level", "rows"), [("READ COMMITTED", 0), ("AUTOCOMMIT", 1)])
async def test_an_abandoned_statement_takes_effect_under_autocommit_only(
    engine: AsyncEngine, backends: Backends, isolation_level: str, rows: int
) -> None:
    await backends.execute("CREATE TABLE orders (drink text)")
    async with backends.holding_lock():
        await abandon(
            engine.execution_options(isolation_level=isolation_level),
            backends,
            "INSERT INTO orders SELECT 'oolong' FROM (SELECT pg_advisory_xact_lock(1)) AS brewing",
        )
    await backends.until(0, "%")
    assert await backends.scalar("SELECT count(*) FROM orders") == rows


# A client hangs up


@asynccontextmanager
async def hung_up_on(app: FastAPI, reached: Step) -> AsyncIterator[None]:
    """A client has asked a real server for /, and has gone once this was reached."""
    async with running(app) as (server, url):
        _, client = await asyncio.open_connection("127.0.0.1", urlsplit(url).port)
        client.write(b"GET / HTTP/1.1\r\nHost: teahouse\r\n\r\n")
        await reached()
        client.close()
        await eventually(
            "uvicorn has noticed that its client is gone",
            lambda: not server.server_state.connections,
        )
        yield


async def pass_on(request: Request, call_next: RequestResponseEndpoint) -> Response:
    return await call_next(request)


@pytest.mark.parametrize("middleware", [False, True], ids=["bare", "behind middleware"])
async def test_a_plain_endpoint_runs_on_although_its_client_has_gone(
    engine: AsyncEngine, backends: Backends, middleware: bool
) -> None:
    app, outcome = FastAPI(), asyncio.Event()

    @app.get("/")
    async def brew() -> None:
        async with AsyncSession(engine) as session:
            await session.execute(text("SELECT pg_advisory_xact_lock(1)"))
        outcome.set()

    if middleware:
        app.middleware("http")(pass_on)
    async with AsyncExitStack() as lock:
        await lock.enter_async_context(backends.holding_lock())
        async with hung_up_on(app, lambda: backends.until(1, "advisory")):
            await lock.aclose()
            await outcome.wait()


@pytest.mark.parametrize("middleware", [False, True], ids=["bare", "behind middleware"])
async def test_a_streaming_response_is_cancelled_and_its_query_runs_on(
    engine: AsyncEngine, backends: Backends, middleware: bool
) -> None:
    app, cancelled = FastAPI(), asyncio.Event()

    @app.get("/")
    async def stream() -> StreamingResponse:
        async def drinks() -> AsyncIterator[str]:
            yield "longjing"
            try:
                await sleep(engine)
            except asyncio.CancelledError:
                cancelled.set()
                raise

        return StreamingResponse(drinks())

    if middleware:
        app.middleware("http")(pass_on)
    async with hung_up_on(app, lambda: backends.until(1)):
        await cancelled.wait()
        assert checked_out(engine) == 0
        assert await backends.count("PgSleep") == 1


# Where to set statement_timeout


async def reach(engine: AsyncEngine) -> list[str]:
    """What three sessions, one after another, find set."""
    found: list[str] = []
    for _ in range(3):
        async with AsyncSession(engine) as session:
            found.append(str(await session.scalar(text("SHOW statement_timeout"))))
    await engine.dispose()
    return found


async def test_server_settings_reach_every_session(make_engine: MakeEngine) -> None:
    assert await reach(named(make_engine, statement_timeout="29s")) == ["29s"] * 3


async def test_a_setting_of_the_role_reaches_every_session(
    engine: AsyncEngine, backends: Backends
) -> None:
    database = await backends.scalar("SELECT current_database()")
    await backends.execute(
        f"ALTER ROLE CURRENT_USER IN DATABASE {database} SET statement_timeout = '29s'"
    )
    assert await reach(engine) == ["29s"] * 3


async def reach_committing(engine: AsyncEngine) -> list[str]:
    """What three sessions find set, each of which commits."""
    found: list[str] = []
    for _ in range(3):
        async with AsyncSession(engine) as session:
            found.append(str(await session.scalar(text("SHOW statement_timeout"))))
            await session.commit()
    await engine.dispose()
    return found


@pytest.mark.parametrize("first_commits", [False, True])
async def test_set_in_a_connect_event_lasts_if_the_first_session_commits_and_else_is_undone(
    engine: AsyncEngine, backends: Backends, first_commits: bool
) -> None:
    default = await backends.scalar("SHOW statement_timeout")

    @event.listens_for(engine.sync_engine, "connect")
    def set_timeout(connection: DBAPIConnection, _: object) -> None:
        connection.cursor().execute("SET statement_timeout = '29s'")

    if first_commits:
        assert await reach_committing(engine) == ["29s"] * 3
    else:
        assert await reach(engine) == ["29s", default, default]


async def test_set_local_reaches_to_the_end_of_its_transaction(engine: AsyncEngine) -> None:
    async with AsyncSession(engine) as session:
        before = await session.scalar(text("SHOW statement_timeout"))
        await session.execute(text("SET LOCAL statement_timeout = '29s'"))
        assert await session.scalar(text("SHOW statement_timeout")) == "29s"
        await session.commit()
        assert await session.scalar(text("SHOW statement_timeout")) == before


# What a timeout covers, and what it leaves


async def test_asyncio_timeout_counts_the_wait_for_a_connection(make_engine: MakeEngine) -> None:
    engine = make_engine(pool_size=1, max_overflow=0)
    async with engine.connect():
        with pytest.raises(TimeoutError):
            async with asyncio.timeout(0.1):
                await select(engine)


@pytest.mark.parametrize(("limits", "held"), [({}, 1), ({"command_timeout": 1}, 0)])
async def test_asyncio_timeout_does_not_cut_short_the_end_of_a_session_on_a_dead_line(
    database_url: str, make_engine: MakeEngine, limits: dict[str, float], held: int
) -> None:
    async with asyncio.timeout(DEADLINE), Proxy(database_url) as proxy:
        through = proxy.url.update_query_dict({"ssl": "disable"})
        engine = make_engine(through, connect_args=limits)

        async def work() -> None:
            async with asyncio.timeout(None) as limit, AsyncSession(engine) as session:
                await session.execute(SELECT)
                proxy.swallow()
                limit.reschedule(0)  # now
                await asyncio.Event().wait()

        task = asyncio.create_task(work())
        _, running = await asyncio.wait({task}, timeout=2 if held else DEADLINE)
        assert (len(running), checked_out(engine)) == (held, held)
        proxy.cut()
        with suppress(TimeoutError, DBAPIError):
            await task
        assert checked_out(engine) == 0
        await engine.dispose()


async def test_on_a_dead_network_a_cancelled_query_holds_its_slot_while_the_connection_closes(
    database_url: str, make_engine: MakeEngine
) -> None:
    async with asyncio.timeout(DEADLINE), Proxy(database_url) as proxy:
        engine = make_engine(proxy.url.update_query_dict({"ssl": "disable"}))

        async def work() -> None:
            async with AsyncSession(engine) as session:
                await session.execute(SELECT)
                proxy.flows.clear()
                asyncio.get_running_loop().call_soon(task.cancel)
                await session.execute(SELECT)

        task = asyncio.create_task(work())
        _, running = await asyncio.wait({task}, timeout=1)
        assert (len(running), checked_out(engine)) == (1, 1)
        await asyncio.wait({task})  # which nothing ends but the limit of SQLAlchemy's own
        assert (task.cancelled(), checked_out(engine)) == (True, 0)
        proxy.flows.set()
        proxy.cut()


async def test_after_a_statement_timeout_in_a_savepoint_the_transaction_goes_on(
    engine: AsyncEngine, backends: Backends
) -> None:
    async def brew(session: AsyncSession) -> None:
        async with session.begin_nested():
            await session.execute(text("SET LOCAL statement_timeout = '100ms'"))
            await session.execute(SLEEP)

    await backends.execute("CREATE TABLE orders (drink text)")
    async with AsyncSession(engine) as session:
        await session.execute(text("INSERT INTO orders VALUES ('oolong')"))
        with pytest.raises(DBAPIError, match="canceling statement due to statement timeout"):
            await brew(session)
        await session.commit()
    assert await backends.scalar("SELECT count(*) FROM orders") == 1


async def interrupt(session: AsyncSession, backends: Backends) -> None:
    """Swallow the cancellation of a query."""

    async def query() -> None:
        with suppress(asyncio.CancelledError):
            await session.execute(SLEEP)

    task = asyncio.create_task(query())
    await backends.until(1)
    task.cancel()
    await task


async def test_a_savepoint_does_not_survive_a_cancellation(
    engine: AsyncEngine, backends: Backends
) -> None:
    async with AsyncSession(engine) as session:
        with suppress(PendingRollbackError):
            async with session.begin_nested():
                await interrupt(session, backends)
        with pytest.raises(PendingRollbackError):
            await session.execute(SELECT)


async def test_a_session_that_swallowed_a_cancellation_commits_nothing(
    engine: AsyncEngine, backends: Backends
) -> None:
    await backends.execute("CREATE TABLE orders (drink text)")
    async with AsyncSession(engine) as session:
        await session.execute(text("INSERT INTO orders VALUES ('oolong')"))
        await interrupt(session, backends)
        assert session.is_active
        with pytest.raises(PendingRollbackError, match="Can't reconnect until invalid transaction"):
            await session.commit()
        await session.rollback()
        await session.execute(text("INSERT INTO orders VALUES ('longjing')"))
        await session.commit()
    assert await backends.scalar("SELECT drink FROM orders") == "longjing"


async def test_a_timeout_between_two_queries_costs_the_session_nothing(engine: AsyncEngine) -> None:
    async with AsyncSession(engine) as session:
        await session.execute(SELECT)
        with pytest.raises(TimeoutError):
            async with asyncio.timeout(0):
                await asyncio.Event().wait()
        assert checked_out(engine) == 1
        await session.execute(SELECT)


async def test_begin_whose_query_was_cancelled_and_caught_raises_at_its_end(
    engine: AsyncEngine, backends: Backends
) -> None:
    with pytest.raises(PendingRollbackError):
        async with async_sessionmaker(engine).begin() as session:
            await interrupt(session, backends)


# Cancelled in the commit


async def commit_of_the_session(engine: AsyncEngine) -> None:
    async with AsyncSession(engine) as session:
        await session.execute(text("INSERT INTO orders VALUES ('oolong')"))
        await session.commit()


async def begin_of_the_session(engine: AsyncEngine) -> None:
    async with AsyncSession(engine) as session, session.begin():
        await session.execute(text("INSERT INTO orders VALUES ('oolong')"))


async def begin_of_the_engine(engine: AsyncEngine) -> None:
    async with engine.begin() as connection:
        await connection.execute(text("INSERT INTO orders VALUES ('oolong')"))


async def begin_of_the_factory(engine: AsyncEngine) -> None:
    async with async_sessionmaker(engine).begin() as session:
        await session.execute(text("INSERT INTO orders VALUES ('oolong')"))


COMMITS_LATE = (
    "CREATE TABLE orders (drink text)",
    """CREATE FUNCTION brew() RETURNS trigger LANGUAGE plpgsql AS $$
    BEGIN PERFORM pg_advisory_xact_lock(1); RETURN NULL; END $$""",
    """CREATE CONSTRAINT TRIGGER brewing AFTER INSERT ON orders DEFERRABLE INITIALLY DEFERRED
    FOR EACH ROW EXECUTE FUNCTION brew()""",
)
"""Tables and triggers with which COMMIT waits for the lock 1."""


@pytest.mark.parametrize("work", [commit_of_the_session, begin_of_the_session, begin_of_the_engine])
async def test_a_commit_that_takes_its_time_is_undone_by_a_cancellation(
    engine: AsyncEngine,
    backends: Backends,
    work: Callable[[AsyncEngine], Coroutine[None, None, None]],
) -> None:
    await backends.execute(*COMMITS_LATE)
    happened = record(engine, "commit", "invalidate")
    async with backends.holding_lock():
        await cancel(lambda: work(engine), lambda: backends.until(1, "advisory"))
    assert happened == ["commit", "invalidate"]
    assert await backends.scalar("SELECT count(*) FROM orders") == 0


async def test_begin_of_the_factory_finishes_its_commit_first(
    engine: AsyncEngine, backends: Backends
) -> None:
    await backends.execute(*COMMITS_LATE)
    happened = record(engine, "commit", "invalidate", "checkin")
    async with backends.holding_lock():
        task = asyncio.create_task(begin_of_the_factory(engine))
        await backends.until(1, "advisory")
        task.cancel()
        await asyncio.wait([task], timeout=0.1)
        assert not task.done()
    await asyncio.wait([task])
    assert task.cancelled()
    assert happened == ["commit", "checkin"]
    assert await backends.scalar("SELECT count(*) FROM orders") == 1


# A shield of one's own


async def test_a_shielded_close_is_not_waited_for(engine: AsyncEngine) -> None:
    happened = record(engine, "invalidate", "checkin")
    closing, go_on, back = asyncio.Event(), asyncio.Event(), asyncio.Event()
    event.listen(engine.sync_engine, "checkin", lambda *_: back.set())

    class Slow(AsyncSession):
        async def close(self) -> None:
            closing.set()
            await go_on.wait()
            await super().close()

    async def work() -> None:
        session = Slow(engine)
        try:
            await session.execute(SELECT)
        finally:
            await asyncio.shield(session.close())

    task = asyncio.create_task(work())
    await closing.wait()
    task.cancel()
    await asyncio.wait([task])
    assert task.cancelled()
    assert checked_out(engine) == 1
    go_on.set()
    await back.wait()
    assert happened == ["checkin"]
