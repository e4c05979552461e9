"""What the page on drivers claims beyond the lines that its snippets print."""

import asyncio
import gc
import re
import socket
import ssl
import subprocess
import sys
import threading
from collections.abc import AsyncIterator, Callable, Coroutine
from contextlib import asynccontextmanager
from functools import partial
from importlib.metadata import requires
from pathlib import Path
from secrets import token_hex
from typing import Any

import anyio
import psycopg
import pytest
import sqlalchemy
import uvicorn
from packaging.requirements import Requirement
from sqlalchemy import create_engine, event, func, make_url, select, text
from sqlalchemy.exc import (
    DBAPIError,
    InterfaceError,
    MissingGreenlet,
    OperationalError,
    ProgrammingError,
    SAWarning,
    SQLAlchemyError,
)
from sqlalchemy.ext.asyncio import (
    AsyncConnection,
    AsyncEngine,
    AsyncSession,
    create_async_engine,
)
from sqlalchemy.pool import NullPool, QueuePool

from tests.loading import load_snippet
from tests.pools import MakeEngine, both_drivers, cut_at_login, engine_for, use
from tests.versions import IS_2_0
from tests.waiting import DEADLINE, eventually
from tools.postgres import Proxy, dsn_of

SELECT = text("SELECT 'oolong'")

Running = tuple[Callable[[], Coroutine[None, None, None]], Callable[[], Coroutine[None, None, int]]]


@pytest.fixture
def engine(database_url: str, make_engine: MakeEngine, driver: str) -> AsyncEngine:
    alone = {"pool_size": 1, "max_overflow": 0, "pool_timeout": 0}
    return engine_for(make_engine, database_url, driver, **alone)


async def refusal(url: str, driver: str, **changes: Any) -> Exception:
    """What connecting with a changed URL raises."""
    changed = make_url(url).set(**changes).render_as_string(hide_password=False)
    with pytest.raises(Exception) as caught:  # noqa: PT011  # which one is the question
        await use(engine_for(create_async_engine, changed, driver))
    return caught.value


# The pool is the same


@both_drivers
async def test_the_pool_and_its_defaults_are_the_same(
    database_url: str, make_engine: MakeEngine, driver: str
) -> None:
    pool = engine_for(make_engine, database_url, driver).pool
    assert type(pool).__name__ == "AsyncAdaptedQueuePool"
    assert isinstance(pool, QueuePool)
    assert (pool.size(), pool._max_overflow, pool.timeout()) == (5, 10, 30.0)


@both_drivers
async def test_the_pool_words_its_timeout_alike(engine: AsyncEngine) -> None:
    async with engine.connect():
        with pytest.raises(
            sqlalchemy.exc.TimeoutError,
            match=re.escape("QueuePool limit of size 1 overflow 0 reached"),
        ):
            await use(engine)


@pytest.mark.parametrize(("driver", "shown"), [("asyncpg", "ROLLBACK;"), ("psycopg", "ROLLBACK")])
async def test_the_server_shows_the_last_statement_with_or_without_a_semicolon(
    database_url: str, make_engine: MakeEngine, driver: str, shown: str
) -> None:
    engine, watcher = (
        engine_for(make_engine, database_url, driver),
        engine_for(make_engine, database_url, "asyncpg"),
    )
    await use(engine)
    async with watcher.connect() as connection:
        query = text(
            "SELECT query FROM pg_stat_activity"
            " WHERE datname = current_database() AND pid <> pg_backend_pid()"
        )
        assert await connection.scalar(query) == shown


# Errors


def test_no_error_of_asyncpg_becomes_an_operational_error() -> None:
    dialect: Any = create_async_engine("postgresql+asyncpg://").dialect
    families = dialect.dbapi._asyncpg_error_translate.values()
    assert dialect.dbapi.Error in families
    assert not any(issubclass(one, dialect.dbapi.OperationalError) for one in families)


@both_drivers
@pytest.mark.parametrize(
    ("sql", "on_asyncpg"),
    [
        ("SELECT * FROM no_schema.orders", True),
        ("CREATE TABLE no_schema.orders (drink text)", False),
        ("SELECT (SELECT generate_series(1, 2))", False),
    ],
)
async def test_outside_class_42_asyncpg_has_no_programming_error(
    engine: AsyncEngine, driver: str, sql: str, on_asyncpg: bool
) -> None:
    async with engine.connect() as connection:
        with pytest.raises(DBAPIError) as caught:
            await connection.execute(text(sql))
    assert isinstance(caught.value, ProgrammingError) is (driver == "psycopg" or on_asyncpg)
    error: Any = caught.value.orig
    assert error.sqlstate.startswith("42") is on_asyncpg


@both_drivers
async def test_while_a_stream_is_read_the_errors_of_asyncpg_are_not_wrapped(
    engine: AsyncEngine, driver: str
) -> None:
    failing = text("SELECT 1 / (500 - g) FROM generate_series(1, 1000) AS g")
    async with engine.connect() as connection:
        with pytest.raises(Exception, match="division by zero") as caught:
            async for _ in await connection.stream(failing):
                pass
    error: Any = caught.value
    assert isinstance(error, DBAPIError) is (driver == "psycopg")
    assert getattr(error, "orig", error).sqlstate == "22012"


async def test_a_deadline_and_a_refused_certificate_look_transient_too(
    database_url: str, make_engine: MakeEngine
) -> None:
    is_transient = load_snippet("pool/drivers/retry.py")["is_transient"]
    engine = engine_for(make_engine, database_url, "asyncpg")
    with pytest.raises(TimeoutError) as caught:
        async with asyncio.timeout(0.1), engine.connect() as connection:
            await connection.execute(text("SELECT pg_sleep(9)"))
    assert is_transient(caught.value)
    assert is_transient(ssl.SSLCertVerificationError())


@both_drivers
@pytest.mark.parametrize("snippet", ["pool/drivers/retry.py", "production/restarts/outage.py"])
async def test_a_login_that_is_cut_looks_transient(
    database_url: str, make_engine: MakeEngine, driver: str, snippet: str
) -> None:
    async with Proxy(database_url) as proxy:
        cut_at_login(proxy)
        with pytest.raises(Exception, match="closed") as caught:
            await use(engine_for(make_engine, proxy.url, driver))
    if driver == "asyncpg" or "drivers" in snippet:  # the other one is for asyncpg
        assert load_snippet(snippet)["is_transient"](caught.value)


async def test_that_no_host_is_the_primary_yet_is_missed(
    database_url: str, make_engine: MakeEngine
) -> None:
    is_transient = load_snippet("pool/drivers/retry.py")["is_transient"]
    wanted = {"target_session_attrs": "standby"}  # and this one is no standby
    with pytest.raises(Exception, match="hosts match the target attribute requirement") as caught:
        await use(engine_for(make_engine, database_url, "asyncpg", connect_args=wanted))
    assert not is_transient(caught.value)


@both_drivers
async def test_a_read_only_transaction_is_missed(
    database_url: str, make_engine: MakeEngine, driver: str
) -> None:
    is_transient = load_snippet("pool/drivers/retry.py")["is_transient"]
    engine = engine_for(make_engine, database_url, driver)
    async with engine.connect() as connection:
        await connection.execute(text("SET TRANSACTION READ ONLY"))
        with pytest.raises(SQLAlchemyError, match="read-only transaction") as caught:
            await connection.execute(text("CREATE TABLE guide_orders ()"))
    assert not is_transient(caught.value)


@pytest.mark.parametrize(
    "changes", [{"database": "teapot"}, {"password": "wrong"}], ids=["database", "password"]
)
async def test_a_refused_login_comes_raw_from_asyncpg_in_2_0_and_wrapped_in_2_1(
    database_url: str, changes: dict[str, str]
) -> None:
    error = await refusal(database_url, "asyncpg", **changes)
    assert isinstance(error, SQLAlchemyError) is not IS_2_0
    assert not isinstance(error, OperationalError)
    assert getattr(getattr(error, "orig", error), "sqlstate", None) in {"3D000", "28P01"}
    error = await refusal(database_url, "psycopg", **changes)
    assert isinstance(error, OperationalError)
    assert getattr(error.orig, "sqlstate", None) is None


@pytest.mark.parametrize("changes", [{"port": 1}, {"host": "no.such.invalid"}])
async def test_a_server_out_of_reach_is_an_os_error_on_asyncpg(
    database_url: str, changes: dict[str, object]
) -> None:
    error = await refusal(database_url, "asyncpg", **changes)
    assert isinstance(error, OSError)
    assert not isinstance(error, SQLAlchemyError)
    assert isinstance(await refusal(database_url, "psycopg", **changes), OperationalError)


async def test_connecting_has_a_time_limit_with_an_error_of_its_own(
    make_engine: MakeEngine,
) -> None:
    with socket.create_server(("127.0.0.1", 0)) as silent:  # connects, and says nothing
        _, port = silent.getsockname()
        url = f"postgresql+asyncpg://guest:tea@127.0.0.1:{port}/tea"
        with pytest.raises(TimeoutError):
            await use(engine_for(make_engine, url, "asyncpg", connect_args={"timeout": 0.5}))
        with pytest.raises(OperationalError, match="connection timeout expired"):
            await use(engine_for(make_engine, url, "psycopg", connect_args={"connect_timeout": 2}))


async def test_asyncpgs_own_time_limits_raise_the_built_in_timeout_error(
    database_url: str,
    make_engine: MakeEngine,
) -> None:
    engine = engine_for(make_engine, database_url, "asyncpg", connect_args={"command_timeout": 1})
    async with engine.connect() as connection:
        with pytest.raises(TimeoutError) as caught:
            await connection.execute(text("SELECT pg_sleep(9)"))
    assert isinstance(caught.value, OSError)
    assert not isinstance(caught.value, SQLAlchemyError)


@pytest.mark.parametrize(
    ("driver", "error", "sqlstate"), [("asyncpg", DBAPIError, "22000"), ("psycopg", None, "")]
)
async def test_asyncpg_wants_parameters_of_the_right_type(
    engine: AsyncEngine, error: type[DBAPIError] | None, sqlstate: str
) -> None:
    async with engine.connect() as connection:
        query = connection.scalar(text("SELECT CAST(:cups AS integer)"), {"cups": "7"})
        if error is None:
            assert await query == 7
        else:
            with pytest.raises(error, match="invalid input for query argument") as caught:
                await query
            assert getattr(caught.value.orig, "sqlstate", None) == sqlstate


# What else differs


@both_drivers
async def test_a_commit_beside_a_query(engine: AsyncEngine, driver: str) -> None:
    session = AsyncSession(engine)
    await session.execute(SELECT)
    query = asyncio.create_task(session.scalar(text("SELECT 'pu-erh' FROM pg_sleep(0.5)")))
    await asyncio.sleep(0)
    if driver == "asyncpg":
        with pytest.raises(InterfaceError, match="another operation is in progress"):
            await session.commit()
    else:
        await session.commit()
    assert await query == "pu-erh"
    await session.close()


@both_drivers
async def test_begin_on_the_drivers_connection(engine: AsyncEngine, driver: str) -> None:
    async with engine.connect() as connection:
        raw: Any = (await connection.get_raw_connection()).driver_connection
        await raw.execute("BEGIN")
    if driver == "asyncpg":
        for _ in range(2):
            with pytest.raises(InterfaceError, match="manually started transaction"):
                await use(engine)
    else:
        assert await use(engine) == "oolong"


@pytest.mark.parametrize(
    ("driver", "fate"),
    [("asyncpg", "which will be terminated"), ("psycopg", "which will be dropped")],
)
async def test_a_leak_is_terminated_or_dropped(engine: AsyncEngine, fate: str) -> None:
    connection = await engine.connect()
    await connection.execute(SELECT)
    gc.disable()
    try:
        del connection
        with pytest.warns((SAWarning, ResourceWarning)) as caught:
            gc.collect()
    finally:
        gc.enable()
    assert any(fate in str(warning.message) for warning in caught)
    assert await use(engine) == "oolong"


@pytest.mark.parametrize(
    ("driver", "connect_args", "prepared"),
    [
        ("asyncpg", {"prepared_statement_cache_size": 0, "statement_cache_size": 0}, 0),
        ("psycopg", {"prepare_threshold": None}, 0),
        ("psycopg", {"prepare_threshold": 0}, 1),
    ],
)
async def test_prepared_statements_can_be_switched(
    database_url: str,
    make_engine: MakeEngine,
    driver: str,
    connect_args: dict[str, Any],
    prepared: int,
) -> None:
    engine = engine_for(make_engine, database_url, driver, connect_args=connect_args)
    async with engine.connect() as connection:
        for _ in range(10):
            await connection.execute(SELECT)
        query = text(
            "SELECT count(*) FROM pg_prepared_statements WHERE statement = 'SELECT ''oolong'''"
        )
        assert await connection.scalar(query) == prepared


@pytest.mark.parametrize(("ending", "prepared"), [("commit", 1), ("rollback", 0)])
async def test_psycopg_counts_anew_after_a_rollback(
    make_engine: MakeEngine, database_url: str, ending: str, prepared: int
) -> None:
    async with engine_for(make_engine, database_url, "psycopg").connect() as connection:
        for _ in range(9):
            await connection.execute(text("SELECT 'oolong'"))
            await getattr(connection, ending)()
        query = text("SELECT count(*) FROM pg_prepared_statements")
        assert await connection.scalar(query) == prepared


@pytest.mark.parametrize(("driver", "most"), [("asyncpg", 150), ("psycopg", 100)])
async def test_each_connection_keeps_up_to_150_prepared_statements_or_100(
    database_url: str, make_engine: MakeEngine, driver: str, most: int
) -> None:
    at_once = {"connect_args": {"prepare_threshold": 0}} if driver == "psycopg" else {}
    engine = engine_for(make_engine, database_url, driver, **at_once)
    kept: list[int] = []
    async with engine.connect() as connection:
        for number in range(320):
            await connection.execute(text(f"SELECT {number}"))
            count = text("SELECT count(*) FROM pg_prepared_statements")
            kept.append(await connection.scalar(count) or 0)
    assert most - 2 <= max(kept) <= most + 2
    assert min(kept[160:]) >= 98


@pytest.mark.parametrize(
    ("driver", "connect_args"),
    [
        ("asyncpg", {"server_settings": {"statement_timeout": "7s"}}),
        ("psycopg", {"options": "-c statement_timeout=7s"}),
    ],
)
async def test_settings_of_the_server_have_another_name(
    database_url: str, make_engine: MakeEngine, driver: str, connect_args: dict[str, Any]
) -> None:
    engine = engine_for(make_engine, database_url, driver, connect_args=connect_args)
    for _ in range(2):
        async with engine.connect() as connection:
            assert await connection.scalar(text("SHOW statement_timeout")) == "7s"


@both_drivers
async def test_execute_has_every_row_before_it_returns(
    engine: AsyncEngine, database_url: str, make_engine: MakeEngine, driver: str
) -> None:
    async with engine.connect() as connection:
        result = await connection.execute(
            text("SELECT pg_backend_pid() AS pid FROM generate_series(1, 50000)")
        )
        first = next(iter(result))
        async with engine_for(make_engine, database_url, driver).connect() as other:
            await other.execute(text("SELECT pg_terminate_backend(:pid)"), {"pid": first.pid})
        assert len(result.all()) == 49_999
        await connection.invalidate()


@asynccontextmanager
async def asking_for_a_minute(database_url: str, driver: str) -> AsyncIterator[Running]:
    """A query on its way, and how many of its kind the server runs."""
    engine = engine_for(create_async_engine, database_url, driver)
    watcher = engine_for(create_async_engine, database_url, driver)

    async def query() -> None:
        async with engine.connect() as connection:
            await connection.execute(text("SELECT pg_sleep(60)"))

    async def running() -> int:
        async with watcher.connect() as connection:
            count = text(
                "SELECT count(*) FROM pg_stat_activity"
                " WHERE datname = current_database() AND wait_event = 'PgSleep'"
            )
            return await connection.scalar(count) or 0

    try:
        yield query, running
    finally:
        await engine.dispose()
        await watcher.dispose()


@both_drivers
async def test_a_query_that_asyncio_cancels_stops(database_url: str, driver: str) -> None:
    async with asking_for_a_minute(database_url, driver) as (query, running):
        task = asyncio.create_task(query())
        await eventually("the query runs", running)
        task.cancel()
        await asyncio.wait([task])

        async def stopped() -> bool:
            return not await running()

        await eventually("the query has stopped", stopped)


@both_drivers
async def test_a_query_that_anyio_cancels_runs_on(database_url: str, driver: str) -> None:
    async with asking_for_a_minute(database_url, driver) as (query, running):
        async with anyio.create_task_group() as group:
            group.start_soon(query)
            await eventually("the query runs", running)
            group.cancel_scope.cancel()
        assert await running() == 1


# Prepared statements

FRUGAL = {"statement_cache_size": 0, "prepared_statement_cache_size": 0}


@pytest.mark.parametrize(
    ("driver", "connect_args", "trips"),
    [
        ("asyncpg", {}, 3),
        ("asyncpg", FRUGAL, 4),
        ("psycopg", {}, 3),
        ("psycopg", {"prepare_threshold": None}, 3),
    ],
)
async def test_an_unprepared_statement_costs_asyncpg_a_round_trip_and_psycopg_none(
    database_url: str,
    make_engine: MakeEngine,
    driver: str,
    connect_args: dict[str, Any],
    trips: int,
) -> None:
    async with Proxy(database_url) as proxy:
        engine = engine_for(make_engine, proxy.url, driver, connect_args=connect_args)
        for _ in range(8):
            proxy.turns.clear()
            async with engine.connect() as connection:
                await connection.execute(text("SELECT 'oolong' WHERE :cups = 7"), {"cups": 7})
        assert proxy.turns.count("client") == trips
        await engine.dispose()


# Loops


def outcomes(work: Callable[[], Coroutine[None, None, object]], threads: int) -> list[str]:
    """What happens when that many threads run it at the same time, each in a loop of its own."""
    together, seen = threading.Barrier(threads), list[str]()

    async def in_time() -> None:
        async with asyncio.timeout(3):
            await work()

    def run() -> None:
        together.wait()
        try:
            asyncio.run(in_time())
        except Exception as error:
            seen.append(f"{type(error).__name__} {error}")
        else:
            seen.append("fine")

    running = [threading.Thread(target=run, daemon=True) for _ in range(threads)]
    for thread in running:
        thread.start()
    for thread in running:
        thread.join(20)
    return seen


@pytest.mark.filterwarnings("ignore")
def test_the_first_connect_of_a_null_pool_in_loops_at_once_is_bound_to_a_different_loop(
    database_url: str,
) -> None:
    seen: list[str] = []
    for _ in range(10):
        engine = engine_for(create_async_engine, database_url, "asyncpg", poolclass=NullPool)
        seen += outcomes(partial(use, engine), 4)
        if any("is bound to a different event loop" in one for one in seen):
            return
    pytest.fail(f"no such message among {seen}")


async def use_until(
    engine: AsyncEngine, answered: threading.Event, on_failure: Callable[[], object]
) -> None:
    """Return the connection when its own loop has read the answer, lest both be in asyncpg."""
    try:
        async with engine.connect() as connection:
            try:
                await connection.execute(SELECT)
            finally:
                on_failure()
                answered.wait(DEADLINE)
    finally:
        on_failure()


@pytest.mark.parametrize("pings", [False, True])
@pytest.mark.filterwarnings("ignore")
async def test_commits_are_lost_after_a_loop_in_a_thread_has_borrowed_unless_the_pool_pings(
    make_engine: MakeEngine, database_url: str, watcher: AsyncConnection, pings: bool
) -> None:
    loop = asyncio.get_running_loop()
    failed, answered = asyncio.Event(), threading.Event()
    async with Proxy(database_url) as proxy:
        alone = {"pool_size": 1, "max_overflow": 0, "pool_pre_ping": pings}
        engine = engine_for(make_engine, proxy.url, "asyncpg", **alone)
        async with engine.begin() as connection:
            await connection.execute(text("CREATE TABLE orders (drink text)"))
            driver: Any = (await connection.get_raw_connection()).driver_connection
        proxy.flows.clear()  # so no answer comes while the thread is in asyncpg
        thread = asyncio.create_task(
            asyncio.to_thread(
                asyncio.run,
                use_until(engine, answered, lambda: loop.call_soon_threadsafe(failed.set)),
            )
        )
        await failed.wait()
        if pings:
            await asyncio.wait([thread])
        proxy.flows.set()
        if not pings:
            await eventually("the BEGIN of the thread was answered", driver.is_in_transaction)
        answered.set()
        with pytest.raises(RuntimeError, match="attached to a different loop"):
            await thread
        async with engine.begin() as connection:  # no error
            await connection.execute(text("INSERT INTO orders VALUES ('oolong')"))
        mine = "datname = current_database() AND state = 'idle in transaction'"
        last = await watcher.scalars(text(f"SELECT query FROM pg_stat_activity WHERE {mine}"))
        said = [one.startswith("RELEASE SAVEPOINT __asyncpg_savepoint_") for one in last]
        assert said == [True] * (not pings)
        await engine.dispose()
    assert await watcher.scalar(text("SELECT count(*) FROM orders")) == pings


@both_drivers
def test_a_null_pool_that_has_connected_once_serves_loops_at_the_same_time(
    database_url: str, driver: str
) -> None:
    engine = engine_for(create_async_engine, database_url, driver, poolclass=NullPool)
    asyncio.run(use(engine))
    for _ in range(3):
        assert outcomes(partial(use, engine), 4) == ["fine"] * 4


def test_psycopg_serves_one_loop_after_another_until_two_of_them_wait(database_url: str) -> None:
    alone = {"pool_size": 1, "max_overflow": 0}
    engine = engine_for(create_async_engine, database_url, "psycopg", **alone)

    async def two_at_once() -> list[object]:
        return list(await asyncio.gather(use(engine), use(engine), return_exceptions=True))

    asyncio.run(use(engine))
    assert asyncio.run(two_at_once()) == ["oolong", "oolong"]
    served, refused = asyncio.run(two_at_once())
    assert (served, "is bound to a different event loop" in str(refused)) == ("oolong", True)
    asyncio.run(engine.dispose())


@both_drivers
def test_an_engine_for_each_loop_serves_loops_at_the_same_time(
    database_url: str, driver: str
) -> None:
    async def work() -> None:
        engine = engine_for(create_async_engine, database_url, driver)
        for _ in range(5):
            await use(engine)
        await engine.dispose()

    assert outcomes(work, 6) == ["fine"] * 6


@pytest.mark.filterwarnings("ignore")
def test_waiting_for_one_pool_in_loops_at_once_fails_with_psycopg_too(database_url: str) -> None:
    engine = engine_for(
        create_async_engine, database_url, "psycopg", pool_size=1, max_overflow=0, pool_timeout=2
    )

    async def work() -> None:
        for _ in range(40):
            async with engine.connect() as connection:
                await connection.execute(text("SELECT pg_sleep(0.002)"))

    seen = outcomes(work, 6)
    assert any("is bound to a different event loop" in one for one in seen), seen


# psycopg on Windows


def test_psycopg_refuses_the_loop_of_windows_by_this_message() -> None:
    module = Path(psycopg.__file__).with_name("connection_async.py")
    source = re.sub(r'"\s+f?"', "", module.read_text("utf-8"))
    assert "Psycopg cannot use the 'ProactorEventLoop' to run in async mode" in source


@pytest.mark.skipif(sys.version_info < (3, 12), reason="asyncio.run() takes no loop_factory yet")
def test_asyncio_run_takes_a_loop_factory() -> None:
    async def loop() -> asyncio.AbstractEventLoop:
        return asyncio.get_running_loop()

    run: Any = asyncio.run
    found = run(loop(), loop_factory=asyncio.SelectorEventLoop)
    assert isinstance(found, asyncio.SelectorEventLoop)


def test_uvicorn_takes_the_name_of_a_loop() -> None:
    config = uvicorn.Config("app:app", loop="asyncio:SelectorEventLoop")
    assert config.get_loop_factory() is asyncio.SelectorEventLoop


# Passwords that expire


@both_drivers
async def test_do_connect_gives_each_connection_its_password(
    database_url: str, make_engine: MakeEngine, driver: str
) -> None:
    password, asked = make_url(database_url).password, list[object]()
    url = make_url(database_url).set(password="expired")
    engine = make_engine(url.set(drivername=f"postgresql+{driver}"))

    @event.listens_for(engine.sync_engine, "do_connect")
    def give_password(_: object, __: object, ___: object, parameters: dict[str, Any]) -> None:
        asked.append(parameters.pop("password"))
        parameters["password"] = password

    async with engine.connect(), engine.connect():
        pass
    assert await use(engine) == "oolong"
    assert asked == ["expired"] * 2


async def test_psycopg_takes_a_coroutine_function_by_async_creator(
    database_url: str, make_engine: MakeEngine
) -> None:
    async def connect() -> Any:
        await asyncio.sleep(0)  # here the token is fetched
        return await psycopg.AsyncConnection.connect(dsn_of(database_url))

    engine = make_engine("postgresql+psycopg://", async_creator=connect)
    assert await use(engine) == "oolong"


@both_drivers
async def test_a_pooled_connection_outlives_the_password_it_logged_in_with(
    database_url: str, make_engine: MakeEngine, driver: str
) -> None:
    role = f"guest_{token_hex(4)}"
    admin = engine_for(make_engine, database_url, "asyncpg", isolation_level="AUTOCOMMIT")
    async with admin.connect() as connection:
        await connection.execute(text(f"CREATE ROLE {role} LOGIN PASSWORD 'morning'"))
        try:
            url = make_url(database_url).set(username=role, password="morning")
            engine = engine_for(
                make_engine, url.render_as_string(hide_password=False), driver, pool_size=1
            )
            assert await use(engine) == "oolong"
            await connection.execute(text(f"ALTER ROLE {role} PASSWORD 'evening'"))
            assert await use(engine) == "oolong"
            await engine.dispose()
            with pytest.raises(Exception, match="password authentication failed"):
                await use(engine)
        finally:
            await connection.execute(text(f"DROP ROLE {role}"))


# Choosing one


@pytest.mark.parametrize(
    ("drivername", "imported"),
    [
        ("postgresql+asyncpg", "asyncpg"),
        ("postgresql+psycopg", "psycopg"),
        ("postgresql+psycopg_async", "psycopg"),
    ],
)
async def test_a_url_names_its_driver(
    database_url: str, make_engine: MakeEngine, drivername: str, imported: str
) -> None:
    engine = make_engine(make_url(database_url).set(drivername=drivername))
    assert engine.dialect.driver.startswith(imported)
    assert engine.dialect.is_async
    assert await use(engine) == "oolong"


@pytest.mark.filterwarnings("ignore:coroutine:RuntimeWarning")
def test_psycopg_async_fails_a_synchronous_engine_when_it_connects(database_url: str) -> None:
    engine = create_engine(make_url(database_url).set(drivername="postgresql+psycopg_async"))
    with pytest.raises(MissingGreenlet):
        engine.connect()


def test_a_url_without_a_driver_takes_psycopg_in_2_1_and_psycopg2_in_2_0() -> None:
    program = (
        "from sqlalchemy.ext.asyncio import create_async_engine\n"
        "print(create_async_engine('postgresql://guest@localhost/tea').dialect.driver)"
    )
    ran = subprocess.run(
        [sys.executable, "-c", program], capture_output=True, encoding="utf-8", check=False
    )
    if IS_2_0:
        assert "No module named 'psycopg2'" in ran.stderr
    else:
        assert ran.stdout.strip() == "psycopg"


@pytest.mark.parametrize(
    ("extra", "brings"),
    [("asyncio", True), ("postgresql-asyncpg", True), ("postgresql-psycopg", False)],
)
def test_the_extra_of_psycopg_brings_no_greenlet(extra: str, brings: bool) -> None:
    names = set()
    for requirement in map(Requirement, requires("sqlalchemy") or ()):
        marker = requirement.marker
        if marker and marker.evaluate({"extra": extra, "platform_machine": "riscv64"}):
            names |= {requirement.name, *requirement.extras}
    assert bool(names & {"greenlet", "asyncio"}) is brings


@both_drivers
async def test_first_adds_no_limit(engine: AsyncEngine) -> None:
    sent: list[str] = []
    event.listen(engine.sync_engine, "before_cursor_execute", lambda *said: sent.append(said[2]))
    async with engine.connect() as connection:
        rows = await connection.execute(select(func.generate_series(1, 3)))
        assert rows.scalars().first() == 1
    assert "LIMIT" not in sent[-1]


def test_a_synchronous_engine_lends_as_many_by_default() -> None:
    pool = create_engine("postgresql+psycopg://teahouse").pool
    assert isinstance(pool, QueuePool)
    assert (pool.size(), pool._max_overflow) == (5, 10)
