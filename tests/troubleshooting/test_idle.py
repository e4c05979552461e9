"""What the page on idle connections says beyond what its snippets print."""

import asyncio
import gc
import os
import subprocess
import sys
import time
from collections.abc import Callable

import asyncpg  # type: ignore[import-untyped]
import pytest
from sqlalchemy import Integer, bindparam, make_url, select, text
from sqlalchemy.exc import DBAPIError, SAWarning
from sqlalchemy.exc import TimeoutError as PoolTimeout
from sqlalchemy.ext.asyncio import (
    AsyncConnection,
    AsyncEngine,
    AsyncSession,
    async_sessionmaker,
    create_async_engine,
)
from sqlalchemy.pool import NullPool

from tests.asking import ask, backends
from tests.pools import MakeEngine, both_drivers, checked_out, engine_for, with_psycopg
from tests.prose import sql_fences
from tests.versions import IS_2_0
from tests.waiting import eventually
from tools.paths import ROOT
from tools.postgres import EmbeddedPostgres

DIAGNOSE = ROOT / "snippets" / "troubleshooting" / "idle" / "diagnose.py"
STATES = text("""
    SELECT state FROM pg_stat_activity
    WHERE datname = current_database() AND application_name = 'teahouse'
""")


def teahouse(make: MakeEngine, *url: str, **settings: str) -> AsyncEngine:
    """An engine whose backends are known by their name, for the test's database or this URL."""
    return make(
        *url, connect_args={"server_settings": {"application_name": "teahouse", **settings}}
    )


@pytest.fixture
def engine(make_engine: MakeEngine) -> AsyncEngine:
    """The engine of the tea house."""
    return teahouse(make_engine)


async def states(url: str) -> list[str]:
    """What the server says of the tea house's backends."""
    async with create_async_engine(url, poolclass=NullPool).connect() as connection:
        return list(await connection.scalars(STATES))


async def until(url: str, seen: Callable[[list[str]], bool]) -> None:
    """Look until the states are as wanted."""

    async def so() -> bool:
        return seen(await states(url))

    await eventually("pg_stat_activity shows the states that are wanted", so)


def diagnose(url: str) -> list[str]:
    """The lines that the page's script prints about a database."""
    ran = subprocess.run(
        [sys.executable, DIAGNOSE],
        env={**os.environ, "DATABASE_URL": url},
        capture_output=True,
        encoding="utf-8",
        check=True,
    )
    return ran.stdout.splitlines()


async def test_an_error_caught_without_a_rollback_leaves_an_aborted_transaction(
    database_url: str, engine: AsyncEngine
) -> None:
    async with async_sessionmaker(engine)() as session:
        with pytest.raises(DBAPIError):
            await session.execute(text("SELECT 1 / 0"))
        assert await states(database_url) == ["idle in transaction (aborted)"]
        await session.rollback()
        assert await states(database_url) == ["idle"]


CUT_OFF = """
import asyncio, gc, os, sys
from sqlalchemy import text
from sqlalchemy.ext.asyncio import async_sessionmaker, create_async_engine

engine = create_async_engine(os.environ["DATABASE_URL"])
served = asyncio.Event()

async def guest():
    async with async_sessionmaker(engine)() as session:
        await session.execute(text("SELECT 1"))
        served.set()
        await asyncio.sleep(60)

async def main():
    task = asyncio.create_task(guest())
    await served.wait()
    if sys.argv[1] == "awaited":
        task.cancel()
        await asyncio.wait([task])
    await engine.dispose()

loop = asyncio.new_event_loop()
loop.run_until_complete(main())
loop.close()
gc.collect()
"""


@pytest.mark.parametrize("end", ["awaited", "forgotten"])
def test_a_task_that_its_loop_forgot_leaves_a_connection_to_the_collector(
    database_url: str, end: str
) -> None:
    ran = subprocess.run(
        [sys.executable, "-c", CUT_OFF, end],
        env={**os.environ, "DATABASE_URL": database_url},
        capture_output=True,
        encoding="utf-8",
    )
    texts = "The garbage collector is trying to clean up", "Task was destroyed but it is pending!"
    assert [words in ran.stderr for words in texts] == [end == "forgotten"] * 2, ran.stderr


@both_drivers
async def test_a_garbage_collected_leak_leaves_the_server_and_loses_its_work(
    database_url: str, make_engine: MakeEngine, driver: str
) -> None:
    name: dict[str, object] = {"application_name": "teahouse"}
    args = name if driver == "psycopg" else {"server_settings": name}
    engine = engine_for(make_engine, database_url, driver, connect_args=args)
    async with engine.begin() as connection:
        await connection.execute(text("CREATE TABLE orders (drink text)"))

    async def forgetful_guest() -> None:
        session = async_sessionmaker(engine)()
        await session.execute(text("INSERT INTO orders VALUES ('oolong')"))

    gc.disable()
    try:
        await forgetful_guest()
        assert await states(database_url) == ["idle in transaction"]
        with pytest.warns((SAWarning, ResourceWarning)) as caught:
            gc.collect()
    finally:
        gc.enable()
    said = next(str(each.message) for each in caught if "non-checked-in" in str(each.message))
    dropped = "which will be dropped, as it cannot be safely terminated" in said
    assert dropped is (driver == "psycopg")
    await until(database_url, lambda seen: not seen)
    assert checked_out(engine) == 0
    async with engine.connect() as connection:
        assert await connection.scalar(text("SELECT count(*) FROM orders")) == 0


async def test_the_server_names_who_holds_the_lock(
    make_engine: MakeEngine, engine: AsyncEngine
) -> None:
    [who] = map(text, sql_fences("troubleshooting/idle", "en"))
    async with engine.begin() as holder:
        await holder.execute(text("CREATE TABLE orders AS SELECT 1 AS id"))
    waiting = asyncio.Event()

    async def change() -> None:
        async with engine.begin() as blocked:
            waiting.set()
            await blocked.execute(text("UPDATE orders SET id = 2"))

    async with asyncio.TaskGroup() as tasks, asyncio.timeout(30), engine.begin() as holder:
        await holder.execute(text("UPDATE orders SET id = 3"))
        holding = await holder.scalar(text("SELECT pg_backend_pid()"))
        tasks.create_task(change())
        await waiting.wait()
        named: list[int] = []
        while holding not in named:
            async with make_engine(poolclass=NullPool).connect() as look:
                named = [pid for row in await look.execute(who) for pid in row.blocked_by]


async def test_an_ordinary_role_does_not_see_what_others_wait_for() -> None:
    [who] = sql_fences("troubleshooting/idle", "en")
    with EmbeddedPostgres() as server:
        url = make_url(server.url())
        await ask(url, "CREATE ROLE guest LOGIN PASSWORD 'tea'")
        guest = url.set(username="guest", password="tea")
        engine = create_async_engine(url, poolclass=NullPool)
        lock = text("SELECT pg_advisory_xact_lock(1)")
        async with engine.connect() as holder, engine.connect() as blocked:
            await holder.execute(lock)
            waiting = asyncio.create_task(blocked.execute(lock))
            await eventually("the server sees the wait", lambda: ask(url, who))
            assert await ask(guest, who) is None
            await ask(url, "GRANT pg_monitor TO guest")
            assert await ask(guest, who) is not None
            await holder.rollback()
            await waiting


async def test_an_argument_that_asyncpg_refused_leaves_active_not_idle_in_transaction(
    make_engine: MakeEngine, watcher: AsyncConnection
) -> None:
    engine = teahouse(make_engine, idle_in_transaction_session_timeout="1s")
    looks = text("SELECT state || ' ' || wait_event FROM pg_stat_activity WHERE pid = :pid")
    async with engine.connect() as connection:
        pid = await connection.scalar(text("SELECT pg_backend_pid()"))
        with pytest.raises(DBAPIError, match="invalid input for query argument"):
            await connection.execute(select(bindparam("cups", "two", type_=Integer)))
        await watcher.execute(text("SELECT pg_sleep(1.3)"))
        assert await watcher.scalar(looks, {"pid": pid}) == "active ClientRead"
        await connection.rollback()
        assert await connection.scalar(text("SELECT pg_backend_pid()")) == pid


@pytest.mark.parametrize(("driver", "left"), [("asyncpg", "active"), ("psycopg", "idle")])
async def test_in_autocommit_a_refused_argument_goes_back_to_the_pool_with_its_lock(
    database_url: str, make_engine: MakeEngine, watcher: AsyncConnection, driver: str, left: str
) -> None:
    await ask(database_url, "CREATE TABLE orders (cups int)")
    engine = engine_for(make_engine, database_url, driver, isolation_level="AUTOCOMMIT")
    async with AsyncSession(engine) as session:
        pid = await session.scalar(text("SELECT pg_backend_pid()"))
        with pytest.raises(DBAPIError, match="invalid input"):
            await session.execute(
                text("SELECT FROM orders WHERE cups = CAST(:cups AS int)"), {"cups": "two"}
            )
    assert checked_out(engine) == 0
    state = text("SELECT state FROM pg_stat_activity WHERE pid = :pid")
    locks = text("SELECT count(*) FROM pg_locks WHERE pid = :pid AND relation = 'orders'::regclass")
    assert await watcher.scalar(state, {"pid": pid}) == left
    assert (await watcher.scalar(locks, {"pid": pid}) == 1) is (left == "active")
    async with AsyncSession(engine) as session:
        await session.execute(text("SELECT 1"))
    assert await watcher.scalar(state, {"pid": pid}) == "idle"
    assert await watcher.scalar(locks, {"pid": pid}) == 0


async def test_after_a_refused_argument_statement_timeout_strikes_the_next_session(
    make_engine: MakeEngine, watcher: AsyncConnection
) -> None:
    settings = {"statement_timeout": "1s"}
    engine = make_engine(isolation_level="AUTOCOMMIT", connect_args={"server_settings": settings})
    async with AsyncSession(engine) as session:
        with pytest.raises(DBAPIError, match="invalid input for query argument"):
            await session.execute(select(bindparam("cups", "two", type_=Integer)))
    await watcher.execute(text("SELECT pg_sleep(1.3)"))
    async with AsyncSession(engine) as session:
        with pytest.raises(DBAPIError, match="canceling statement due to statement timeout"):
            await session.execute(text("SELECT 1"))


async def test_what_the_limit_ended_counts_as_lent_until_its_session_is_closed(
    database_url: str, make_engine: MakeEngine
) -> None:
    engine = make_engine(pool_size=1, max_overflow=0, pool_timeout=0.1)
    session = AsyncSession(engine)

    async def none_is_left() -> bool:
        return await backends(database_url) == 0

    await session.execute(text("SET LOCAL idle_in_transaction_session_timeout = '50ms'"))
    await eventually("the server has ended it", none_is_left)
    with pytest.raises(PoolTimeout):
        await engine.connect()
    with pytest.raises(DBAPIError):
        await session.close()
    async with engine.connect():
        assert checked_out(engine) == 1


async def test_terminating_a_leaked_backend_gives_the_pool_nothing_back(
    database_url: str, make_engine: MakeEngine, engine: AsyncEngine
) -> None:
    leaked = await engine.connect()
    pid = await leaked.scalar(text("SELECT pg_backend_pid()"))
    async with make_engine(poolclass=NullPool).connect() as watcher:
        await watcher.execute(text("SELECT pg_terminate_backend(:pid)"), {"pid": pid})
    await until(database_url, lambda seen: not seen)
    assert checked_out(engine) == 1
    await leaked.invalidate()
    await leaked.close()


async def test_transactions_may_stay_idle_for_ever_unless_somebody_sets_a_limit(
    database_url: str, engine: AsyncEngine
) -> None:
    shipped = text(
        "SELECT boot_val FROM pg_settings WHERE name = 'idle_in_transaction_session_timeout'"
    )
    async with engine.connect() as connection:
        assert await connection.scalar(shipped) == "0"


async def test_the_limit_leaves_pooled_idle_connections_alone(make_engine: MakeEngine) -> None:
    engine = teahouse(make_engine, idle_in_transaction_session_timeout="1s")
    without_transactions = engine.execution_options(isolation_level="AUTOCOMMIT")
    async with without_transactions.connect() as connection:
        pid = await connection.scalar(text("SELECT pg_backend_pid()"))
    await asyncio.sleep(1.3)
    async with without_transactions.connect() as connection:
        assert await connection.scalar(text("SELECT pg_backend_pid()")) == pid


async def test_a_busy_event_loop_learns_of_the_limit_in_other_words(engine: AsyncEngine) -> None:
    async with async_sessionmaker(engine)() as session:
        await session.execute(text("SET LOCAL idle_in_transaction_session_timeout = '50ms'"))
        time.sleep(1)  # noqa: ASYNC251, the loop must not run
        with pytest.raises(
            DBAPIError,
            match="closed in the middle of operation: "
            "terminating connection due to idle-in-transaction timeout",
        ):
            await session.execute(text("SELECT 'oolong'"))


async def test_diagnose_says_what_is_there_and_adds_nothing(
    database_url: str, engine: AsyncEngine
) -> None:
    async with engine.connect() as working, engine.connect():
        await working.execute(text("SELECT 'longjing'"))
        assert diagnose(database_url) == [
            "teahouse: 1 idle | < 1 min | kept by a pool, if no more than processes x pool_size",
            "teahouse: 1 idle in transaction | < 1 min | at work; look again in a minute",
        ]


async def test_diagnose_tells_old_from_new_in_every_state(
    database_url: str, make_engine: MakeEngine
) -> None:
    engine = make_engine()
    database = make_url(database_url).database
    async with engine.begin() as connection:
        await connection.execute(text("CREATE SCHEMA staged"))
        await connection.execute(
            text("""
                CREATE TABLE staged.pg_stat_activity AS
                SELECT current_database() AS datname, 0 AS pid, 'shop' AS application_name,
                       'client backend' AS backend_type, state,
                       now() - make_interval(mins => minutes) AS state_change
                FROM (VALUES ('active', 4), ('disabled', 0), ('idle', 90),
                             ('idle in transaction', 7), ('idle in transaction', 0),
                             ('idle in transaction (aborted)', 2)) AS staged (state, minutes)
            """)
        )
        # Where a path names it, pg_catalog is no longer searched first.
        await connection.execute(
            text(f"ALTER DATABASE {database} SET search_path = staged, pg_catalog")
        )
    await engine.dispose()
    assert diagnose(database_url) == [
        "shop: 1 active | 4 min | a slow query, or one that waits for a lock",
        "shop: 1 disabled | < 1 min | rare: see PostgreSQL's manual",
        "shop: 1 idle | 90 min | kept by a pool, if no more than processes x pool_size",
        "shop: 2 idle in transaction | 7 min | leaked, or left open while its task waits",
        "shop: 1 idle in transaction (aborted) | 2 min | an error, and nobody rolled back",
    ]


async def test_another_roles_state_is_hidden_without_pg_monitor(make_engine: MakeEngine) -> None:
    with EmbeddedPostgres() as server:
        engine = teahouse(make_engine, server.url())
        async with engine.begin() as connection:
            await connection.execute(text("CREATE ROLE guest LOGIN PASSWORD 'tea'"))
        guest = make_url(server.url()).set(username="guest", password="tea")
        url = guest.render_as_string(hide_password=False)
        hidden = "teahouse: 1 hidden | ? | another role's: GRANT pg_monitor to see more"
        assert diagnose(url) == [hidden]
        async with engine.begin() as connection:
            await connection.execute(text("GRANT pg_monitor TO guest"))
        seen = "teahouse: 1 idle | < 1 min | kept by a pool, if no more than processes x pool_size"
        assert diagnose(url) == [seen]
        await engine.dispose()


async def test_recycle_and_pre_ping_leave_a_lent_connection_alone(
    database_url: str, make_engine: MakeEngine
) -> None:
    engine = make_engine(
        pool_recycle=0,
        pool_pre_ping=True,
        connect_args={"server_settings": {"application_name": "teahouse"}},
    )
    async with engine.connect() as forgotten:
        pid = await forgotten.scalar(text("SELECT pg_backend_pid()"))
        async with engine.connect() as another:
            assert await another.scalar(text("SELECT pg_backend_pid()")) != pid
        assert "idle in transaction" in await states(database_url)
        assert await forgotten.scalar(text("SELECT pg_backend_pid()")) == pid


@pytest.mark.parametrize(("written", "shown"), [("60", "60ms"), ("60s", "1min")])
async def test_a_limit_without_a_unit_counts_milliseconds(
    make_engine: MakeEngine, written: str, shown: str
) -> None:
    engine = teahouse(make_engine, idle_in_transaction_session_timeout=written)
    async with engine.connect() as connection:
        assert await connection.scalar(text("SHOW idle_in_transaction_session_timeout")) == shown


async def test_statement_timeout_does_not_reach_a_transaction_that_is_idle(
    database_url: str,
    make_engine: MakeEngine,
) -> None:
    engine = teahouse(make_engine, statement_timeout="1s")
    async with engine.connect() as connection:
        pid = await connection.scalar(text("SELECT pg_backend_pid()"))
        await asyncio.sleep(1.3)
        assert await states(database_url) == ["idle in transaction"]
        with pytest.raises(DBAPIError, match="canceling statement due to statement timeout"):
            await connection.execute(text("SELECT pg_sleep(30)"))
        await connection.rollback()
        assert await connection.scalar(text("SELECT pg_backend_pid()")) == pid


async def test_the_limits_of_the_table_are_unset_by_default(engine: AsyncEngine) -> None:
    names = [
        "statement_timeout",
        "lock_timeout",
        "idle_in_transaction_session_timeout",
        "transaction_timeout",
        "idle_session_timeout",
    ]
    values = text("SELECT name, boot_val FROM pg_settings WHERE name = ANY (:names)")
    async with engine.connect() as connection:
        found = {
            row.name: row.boot_val for row in await connection.execute(values, {"names": names})
        }
        since_17 = int(await connection.scalar(text("SHOW server_version_num")) or 0) >= 170000
    assert set(found.values()) == {"0"}
    assert set(names) - set(found) == (set() if since_17 else {"transaction_timeout"})


async def test_transaction_timeout_ends_the_connection_in_any_state(
    database_url: str, make_engine: MakeEngine
) -> None:
    engine = make_engine()
    async with engine.connect() as connection:
        version = int(await connection.scalar(text("SHOW server_version_num")) or 0)
    await engine.dispose()
    limited = teahouse(make_engine, transaction_timeout="200ms")
    if version < 170000:
        with pytest.raises(DBAPIError if not IS_2_0 else asyncpg.PostgresError, match="unrecog"):
            async with limited.connect():
                pass
        return
    for idle, statement in ((True, "SELECT 'longjing'"), (False, "SELECT pg_sleep(30)")):
        connection = await limited.connect()
        if idle:
            await connection.execute(text(statement))
            await until(database_url, lambda seen: not seen)
        with pytest.raises(DBAPIError) as failure:
            await connection.execute(text(statement))
        assert failure.value.connection_invalidated
        await connection.invalidate()
        await connection.close()


async def test_idle_session_timeout_closes_what_rests_in_the_pool(
    database_url: str, make_engine: MakeEngine
) -> None:
    for pre_ping in (False, True):
        named = {"server_settings": {"application_name": "teahouse"}}
        engine = make_engine(pool_pre_ping=pre_ping, connect_args=named)
        async with engine.begin() as connection:  # no login is to be as quick as that
            await connection.execute(text("SET idle_session_timeout = '50ms'"))
        await until(database_url, lambda seen: not seen)
        if pre_ping:
            async with engine.connect() as connection:
                await connection.execute(text("SELECT 'longjing'"))
        else:
            with pytest.raises(DBAPIError, match="connection is closed"):
                async with engine.connect() as connection:
                    await connection.execute(text("SELECT 'longjing'"))
        await engine.dispose()


async def test_without_more_sql_the_limit_shows_when_the_block_is_left(
    database_url: str, engine: AsyncEngine
) -> None:
    async def slow_guest() -> None:
        async with async_sessionmaker(engine)() as session:
            await session.execute(text("SET LOCAL idle_in_transaction_session_timeout = '50ms'"))
            await until(database_url, lambda seen: not seen)

    message = r"cannot call Transaction\.rollback\(\): the underlying connection is closed"
    with pytest.raises(DBAPIError, match=message):
        await slow_guest()
    assert checked_out(engine) == 0


async def test_psycopg_takes_the_limit_as_an_option(
    database_url: str, make_engine: MakeEngine
) -> None:
    engine = make_engine(
        with_psycopg(database_url),
        connect_args={"options": "-c idle_in_transaction_session_timeout=60s"},
    )
    async with engine.connect() as connection:
        limit = text("SHOW idle_in_transaction_session_timeout")
        assert await connection.scalar(limit) == "1min"


async def test_a_limit_on_the_role_holds_for_its_new_connections() -> None:
    with EmbeddedPostgres() as server:
        admin = create_async_engine(server.url(), isolation_level="AUTOCOMMIT", poolclass=NullPool)
        shop = make_url(server.url()).set(username="shop", password="tea")
        engine = create_async_engine(shop)
        limit = text("SHOW idle_in_transaction_session_timeout")
        async with admin.connect() as connection:
            await connection.execute(text("CREATE ROLE shop LOGIN PASSWORD 'tea'"))
            async with engine.connect() as before:
                await connection.execute(
                    text("ALTER ROLE shop SET idle_in_transaction_session_timeout = '60s'")
                )
                assert await before.scalar(limit) == "0"
        await engine.dispose()
        async with engine.connect() as after:
            assert await after.scalar(limit) == "1min"
        await engine.dispose()
