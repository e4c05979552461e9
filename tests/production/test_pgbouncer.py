"""What the page on PgBouncer says beyond what its listings print."""

import asyncio
import sys
import tempfile
from collections.abc import Awaitable, Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

import asyncpg  # type: ignore[import-untyped]
import psycopg
import pytest
from sqlalchemy import make_url, text
from sqlalchemy.exc import DBAPIError, NotSupportedError, OperationalError
from sqlalchemy.exc import TimeoutError as PoolTimeout
from sqlalchemy.ext.asyncio import AsyncConnection, AsyncEngine, create_async_engine

from tests.poolers import need_old_pgbouncer, need_pgbouncer
from tests.pools import MakeEngine, checked_out, engine_for, record_queries
from tests.waiting import eventually
from tools.paths import DOCS, LANGUAGES, SETTINGS_TABLE
from tools.postgres import EmbeddedPostgres, Proxy, Server, dsn_of
from tools.postgres.pgbouncer import Release, run_pgbouncer
from tools.proof import guests, poolers
from tools.proof.poolers import describe_pooler, format_rows, try_rows

CURE = {"statement_cache_size": 0, "prepared_statement_cache_size": 0}
IN_THE_MIDDLE = "connection was closed in the middle of operation"
PAGES = [(DOCS / language / "production/pgbouncer.md").read_text("utf-8") for language in LANGUAGES]
LONGJING, OOLONG = text("SELECT 'longjing'"), text("SELECT 'oolong'")


@contextmanager
def pooled(database_url: str, **settings: str) -> Iterator[str]:
    """The newest PgBouncer with two connections to the server, or as the settings say."""
    with run_pgbouncer(
        database_url, need_pgbouncer(), **{"default_pool_size": "2", **settings}
    ) as url:
        yield url


async def ask(engine: AsyncEngine, query: str) -> object:
    """Ask in a transaction of its own."""
    async with engine.begin() as connection:
        result: object = await connection.scalar(text(query))
        return result


# The table


def recorded(asyncpg: str, release: Release, tracked: int) -> str:
    """The table of the record for a version of asyncpg and a PgBouncer."""
    _, *blocks = SETTINGS_TABLE.read_text("utf-8").strip().split("\n\n")
    for block in blocks:
        head, _, table = block.partition("\n")
        drivers, _, places = head.partition("; PgBouncer ")
        if asyncpg in drivers and describe_pooler(release, tracked) in places:
            return table
    pytest.fail(f"settings.txt has no table for PgBouncer {release.version}; run `tools poolers`")


def run_table(release: Release, tracked: int, server: Server) -> str:
    return format_rows(try_rows(guests.ROWS, release, tracked, server, Path(sys.executable)))


@pytest.mark.parametrize("tracked", [0, 200])
def test_the_table_is_what_comes_out_here(tracked: int, server: Server) -> None:
    newest, noted = need_pgbouncer(), Release((1, 24, 1), Path())
    assert run_table(newest, tracked, server) == recorded("0.32.0", noted, tracked)


def test_an_old_release_gives_the_table_of_0(server: Server) -> None:
    old, noted = need_old_pgbouncer(), Release((1, 24, 1), Path())
    assert run_table(old, 0, server) == recorded("0.32.0", noted, 0)
    assert recorded("0.32.0", Release((1, 18, 0), Path()), 0) == recorded("0.32.0", noted, 0)


@pytest.mark.parametrize("asyncpg", poolers.OLDER)
def test_before_0_31_unique_names_and_both_caches_0_work_but_in_autocommit(asyncpg: str) -> None:
    table = recorded(asyncpg, Release((1, 24, 1), Path()), 0)
    rows = {line[:32].strip(): line[32:].split() for line in table.splitlines()[1:]}
    works = {name for name, cells in rows.items() if cells[:3] == ["ok", "ok", "ok"]}
    assert works == {"unique names, both 0", "NullPool, unique names, both 0"}
    assert all(rows[name][3] == "fails" for name in works)


async def test_the_console_says_who_waits_and_refuses_engines(
    make_engine: MakeEngine, database_url: str
) -> None:
    with pooled(database_url, default_pool_size="1") as url:
        name = make_url(url).database
        console = make_url(url).set(database="pgbouncer")

        def waiting() -> list[tuple[object, object]]:
            with psycopg.connect(dsn_of(console), autocommit=True) as it:
                asked = it.execute("SHOW POOLS")
                columns = [each.name for each in asked.description or ()]
                rows = [dict(zip(columns, row, strict=True)) for row in asked.fetchall()]
            assert all("maxwait" in row for row in rows)
            return [
                (row["cl_active"], row["cl_waiting"]) for row in rows if row["database"] == name
            ]

        engine = make_engine(url=url, connect_args=CURE)
        async with engine.begin() as first:
            await first.execute(LONGJING)
            second = asyncio.create_task(ask(engine, "SELECT 1"))
            await eventually("one has the connection, one waits", lambda: waiting() == [(1, 1)])
        assert await second == 1

        for driver in ("asyncpg", "psycopg"):
            sent = "extended query protocol not supported by admin console|invalid command"
            with pytest.raises(DBAPIError, match=sent):
                await ask(
                    engine_for(make_engine, console.render_as_string(hide_password=False), driver),
                    "SHOW POOLS",
                )


async def test_since_1_24_statements_are_tracked_by_default(database_url: str) -> None:
    newest = need_pgbouncer()
    if newest.number < (1, 24):
        return  # Ubuntu's own has the setting, at 0
    with run_pgbouncer(database_url, newest) as url:
        console = make_url(url).set(database="pgbouncer")
        with psycopg.connect(dsn_of(console), autocommit=True) as it:
            found = {row[0]: row[1] for row in it.execute("SHOW CONFIG").fetchall()}
    assert found["max_prepared_statements"] == "200"


@pytest.mark.parametrize("driver", ["asyncpg", "psycopg"])
async def test_statements_beyond_the_tracked_number_are_closed_on_the_server_connection(
    database_url: str, make_engine: MakeEngine, driver: str
) -> None:
    kept = text("SELECT count(*) FROM pg_prepared_statements")
    with pooled(database_url, default_pool_size="1", max_prepared_statements="5") as url:
        engine = engine_for(make_engine, url, driver)
        async with engine.connect() as connection:
            for number in range(20):
                for _ in range(7):  # psycopg prepares at the sixth
                    await connection.execute(text(f"SELECT {number}"))
            assert await connection.scalar(kept) == 5
        await engine.dispose()


# A migration


async def test_a_migration_spoils_a_tracked_query_until_reconnect(
    database_url: str, make_engine: MakeEngine
) -> None:
    spoiled = pytest.raises(NotSupportedError, match="cached statement plan is invalid")
    direct, query = make_engine(), "SELECT * FROM tray"
    with pooled(database_url, default_pool_size="1", max_prepared_statements="200") as url:
        await ask_nothing(direct, "CREATE TABLE tray AS SELECT 1 AS cups")
        engine, other, cured = (
            make_engine(url),
            make_engine(url),
            make_engine(url, connect_args=CURE),
        )
        assert [await ask(each, query) for each in (engine, cured)] == [1, 1]
        await ask_nothing(direct, "ALTER TABLE tray ADD COLUMN pots int")
        for each in (engine, engine, other):
            with spoiled:
                await ask(each, query)
        assert await ask(cured, query) == 1
        console = await asyncpg.connect(dsn_of(make_url(url).set(database="pgbouncer")))
        await console.execute("RECONNECT")
        with pytest.raises(asyncpg.PostgresError, match="extended query protocol not supported"):
            await console.fetch("SHOW POOLS")
        console.terminate()  # it has been closed by PgBouncer

        async def works() -> bool:
            try:
                return await ask(engine, query) == 1
            except NotSupportedError:
                return False

        await eventually("the old server connection is closed", works)


@pytest.mark.parametrize(("settings", "read"), [({}, 825373492), (CURE, "1234")])
@pytest.mark.parametrize("reconnects", [False, True])
async def test_a_process_that_goes_on_through_a_migration_reads_the_old_type(
    settings: dict[str, int],
    read: object,
    reconnects: bool,
    database_url: str,
    make_engine: MakeEngine,
) -> None:
    direct, query = make_engine(), "SELECT cups FROM tray"
    with pooled(database_url, max_prepared_statements="200") as url:
        await ask_nothing(direct, "CREATE TABLE tray AS SELECT 1234 AS cups")
        engine, other = make_engine(url, connect_args=settings), make_engine(url)
        assert await ask(engine, query) == 1234
        await ask_nothing(direct, "ALTER TABLE tray ALTER cups TYPE text")
        async with other.connect() as busy:  # on the server connection that knows the query
            await busy.execute(LONGJING)
            if reconnects:
                console = await asyncpg.connect(dsn_of(make_url(url).set(database="pgbouncer")))
                await console.execute("RECONNECT")
                console.terminate()
            assert await ask(engine, query) == read
        await engine.dispose()
        if reconnects:
            assert await ask(engine, query) == "1234"


async def test_in_autocommit_psycopg_does_not_clear_a_tracked_server_connection(
    database_url: str, make_engine: MakeEngine
) -> None:
    direct, query = make_engine(), text("SELECT * FROM tray")
    with pooled(database_url, default_pool_size="1", max_prepared_statements="200") as url:
        await ask_nothing(direct, "CREATE TABLE tray AS SELECT 1 AS cups")
        engine = engine_for(make_engine, url, "psycopg", isolation_level="AUTOCOMMIT")
        async with engine.connect() as connection:
            assert [await connection.scalar(query) for _ in range(6)] == [1] * 6
        await ask_nothing(direct, "ALTER TABLE tray ADD COLUMN pots int")
        for _ in range(3):
            with pytest.raises(NotSupportedError, match="cached plan must not change result type"):
                await ask(engine, query.text)


async def test_psycopg_clears_a_tracked_server_connection_after_the_rollback(
    database_url: str, make_engine: MakeEngine
) -> None:
    direct, query = make_engine(), "SELECT * FROM tray"
    with pooled(database_url, default_pool_size="1", max_prepared_statements="200") as url:
        await ask_nothing(direct, "CREATE TABLE tray AS SELECT 1 AS cups")
        engine = engine_for(make_engine, url, "psycopg")
        assert [await ask(engine, query) for _ in range(6)] == [1] * 6
        await ask_nothing(direct, "ALTER TABLE tray ADD COLUMN pots int")
        with pytest.raises(NotSupportedError, match="cached plan must not change result type"):
            await ask(engine, query)
        assert await ask(engine, query) == 1


@pytest.mark.parametrize(
    ("settings", "read"), [({"statement_cache_size": 0}, 825373492), (CURE, "1234")]
)
async def test_asyncpgs_cache_0_alone_reads_a_changed_column_as_the_old_type(
    settings: dict[str, int], read: object, database_url: str, make_engine: MakeEngine
) -> None:
    engine, direct = make_engine(connect_args=settings), make_engine()
    await ask_nothing(direct, "CREATE TABLE tray AS SELECT 1234 AS cups")
    assert await ask(engine, "SELECT cups FROM tray") == 1234
    await ask_nothing(direct, "ALTER TABLE tray ALTER cups TYPE text")
    assert await ask(engine, "SELECT cups FROM tray") == read
    assert read == "1234" or all(str(read) in page for page in PAGES)


# What stays on the server connection


async def test_set_local_ends_with_its_transaction(
    database_url: str, make_engine: MakeEngine
) -> None:
    with pooled(database_url) as url:
        engine = make_engine(url, connect_args=CURE)
        await ask(engine, "SELECT set_config('statement_timeout', '7s', true)")
        assert await ask(engine, "SHOW statement_timeout") == "0"
        await ask(engine, "SELECT set_config('statement_timeout', '7s', false)")
        assert await ask(engine, "SHOW statement_timeout") == "7s"


@pytest.mark.parametrize(
    ("setting", "value", "found_by_the_other"),
    [
        ("statement_timeout", "7s", True),
        ("TimeZone", "Asia/Shanghai", False),
        ("DateStyle", "German, DMY", False),
    ],
)
async def test_pgbouncer_keeps_some_settings_for_each_client(
    database_url: str, make_engine: MakeEngine, setting: str, value: str, found_by_the_other: bool
) -> None:
    with pooled(database_url, default_pool_size="1") as url:
        engine = make_engine(url, connect_args=CURE)
        async with engine.connect() as first, engine.connect() as second:
            await first.execute(text(f"SET {setting} = '{value}'"))
            await first.commit()
            found = await second.scalar(text(f"SHOW {setting}"))
            await second.commit()
            assert (found == value) is found_by_the_other
            assert await first.scalar(text(f"SHOW {setting}")) == value


async def leave_and_find(make_engine: MakeEngine, url: str) -> object:
    """What a client finds after another has emptied `search_path` on the only connection."""
    left, found = (make_engine(url, connect_args=CURE) for _ in range(2))
    assert await ask(left, "SELECT set_config('search_path', '', false)") == ""
    return await ask(found, "SELECT current_schemas(false)")


@pytest.mark.parametrize(
    ("major", "extra", "found"),
    [
        (18, {}, []),
        (16, {"track_extra_parameters": "IntervalStyle, search_path"}, []),
        (18, {"track_extra_parameters": "IntervalStyle, search_path"}, ["public"]),
    ],
)
async def test_search_path_stays_for_the_next_client_unless_tracked_on_18(
    make_engine: MakeEngine, major: int, extra: dict[str, str], found: list[str]
) -> None:
    settings = {"default_pool_size": "1", **extra}
    with EmbeddedPostgres(major) as server, pooled(server.url(), **settings) as url:
        assert await leave_and_find(make_engine, url) == found


async def test_a_tracked_search_path_is_kept_but_emptied_by_set_config_it_ends_its_client(
    make_engine: MakeEngine,
) -> None:
    settings = {
        "default_pool_size": "1",
        "track_extra_parameters": "IntervalStyle, search_path",
    }
    found = "SELECT current_schemas(false)"
    with EmbeddedPostgres(18) as server, pooled(server.url(), **settings) as url:
        one, other = (make_engine(url, connect_args=CURE) for _ in range(2))
        await ask(one, "SELECT set_config('search_path', 'pg_catalog', false)")
        assert await ask(other, found) == ["public"]
        assert await ask(one, found) == ["pg_catalog"]
        await ask(one, "SELECT set_config('search_path', '', false)")
        assert await ask(other, found) == ["public"]
        with pytest.raises(DBAPIError, match="invalid server parameter"):
            await ask(one, found)
    assert all("`invalid server parameter`" in page for page in PAGES)


@pytest.mark.parametrize(
    ("major", "found"), [(18, ["pg_catalog"]), (16, ["public"])], ids=["18", "16"]
)
async def test_a_tracked_search_path_of_the_login_is_lost_before_18(
    make_engine: MakeEngine, major: int, found: list[str]
) -> None:
    args = {**CURE, "server_settings": {"search_path": "pg_catalog"}}
    extra = {"track_extra_parameters": "IntervalStyle, search_path"}
    with EmbeddedPostgres(major) as server, pooled(server.url(), **extra) as url:
        engine = make_engine(url, connect_args=args)
        assert await ask(engine, "SELECT current_schemas(false)") == found


async def test_a_lock_cannot_be_released_by_its_owner(
    database_url: str, make_engine: MakeEngine
) -> None:
    with pooled(database_url) as url:
        engine = make_engine(url, connect_args=CURE)
        async with engine.connect() as first, engine.connect() as second:
            await first.execute(text("SELECT pg_advisory_lock(42)"))
            await first.commit()
            await second.execute(OOLONG)  # has the connection now
            assert await first.scalar(text("SELECT pg_advisory_unlock(42)")) is False
            assert await second.scalar(text("SELECT pg_advisory_unlock(42)")) is True


async def test_the_next_client_on_a_server_connection_gets_the_lock_as_well(
    database_url: str, make_engine: MakeEngine
) -> None:
    with pooled(database_url, default_pool_size="1") as url:
        engine = make_engine(url, connect_args=CURE)
        async with engine.connect() as first, engine.connect() as second:
            for client in (first, second):
                assert await client.scalar(text("SELECT pg_try_advisory_lock(42)")) is True
                await client.commit()


async def test_a_lock_ends_with_an_idle_server_connection(
    database_url: str, make_engine: MakeEngine, watcher: AsyncConnection
) -> None:
    with pooled(database_url, server_idle_timeout="1") as url:
        assert await ask(make_engine(url, connect_args=CURE), "SELECT pg_try_advisory_lock(42)")
        take = text("SELECT pg_try_advisory_lock(42)")
        assert await watcher.scalar(take) is False
        await eventually("the lock is free", lambda: watcher.scalar(take))


async def test_pg_locks_lists_those_who_wait_for_a_lock_too(
    make_engine: MakeEngine, watcher: AsyncConnection
) -> None:
    lock = "SELECT pg_advisory_xact_lock(42)"
    listed = text(
        "SELECT array_agg(granted ORDER BY granted) FROM pg_locks WHERE locktype = 'advisory'"
        " AND database = (SELECT oid FROM pg_database WHERE datname = current_database())"
    )

    async def both() -> bool:
        return bool(await watcher.scalar(listed) == [False, True])

    engine = make_engine()
    async with engine.begin() as holder:
        await holder.execute(text(lock))
        waiting = asyncio.create_task(ask(engine, lock))
        await eventually("one holds the lock and one waits", both)
    await waiting


@pytest.mark.parametrize("always", [False, True])
async def test_discard_runs_in_transaction_mode_only_if_told_always(
    always: bool, database_url: str, make_engine: MakeEngine
) -> None:
    with pooled(database_url, server_reset_query_always=str(int(always))) as url:
        engine = make_engine(url, connect_args=CURE)
        await ask(engine, "SELECT set_config('statement_timeout', '7s', false)")
        assert await ask(engine, "SHOW statement_timeout") == ("0" if always else "7s")


async def test_a_role_may_have_the_limit_instead(
    database_url: str, make_engine: MakeEngine
) -> None:
    direct = make_engine()
    name = make_url(database_url).database
    await ask_nothing(direct, f"ALTER ROLE CURRENT_USER IN DATABASE {name} SET jit = 'off'")
    with pooled(database_url) as url:
        assert await ask(make_engine(url, connect_args=CURE), "SHOW jit") == "off"


async def ask_nothing(engine: AsyncEngine, statement: str) -> None:
    async with engine.begin() as connection:
        await connection.execute(text(statement))


# Logins


async def test_psycopgs_options_are_judged_setting_by_setting(
    database_url: str, make_engine: MakeEngine
) -> None:
    with pooled(database_url) as url:
        place = make_url(url).set(drivername="postgresql+psycopg")
        engine = make_engine(place, connect_args={"options": "-c statement_timeout=5s"})
        with pytest.raises(OperationalError, match="unsupported startup parameter in options: st"):
            await ask(engine, "SELECT 1")
        engine = make_engine(place, connect_args={"options": "-c timezone=Asia/Shanghai"})
        assert await ask(engine, "SHOW timezone") == "Asia/Shanghai"


async def test_an_old_release_refuses_psycopgs_options_altogether(
    database_url: str, make_engine: MakeEngine
) -> None:
    with run_pgbouncer(database_url, need_old_pgbouncer()) as url:
        place = make_url(url).set(drivername="postgresql+psycopg")
        engine = make_engine(place, connect_args={"options": "-c timezone=Asia/Shanghai"})
        with pytest.raises(OperationalError, match="unsupported startup parameter: options"):
            await ask(engine, "SELECT 1")


async def test_the_setting_of_a_read_only_engine_is_refused(
    database_url: str, make_engine: MakeEngine
) -> None:
    with pooled(database_url) as url:
        read_only = {"server_settings": {"default_transaction_read_only": "on"}}
        engine = make_engine(url, connect_args=read_only)
        with pytest.raises(Exception, match="parameter: default_transaction_read_only"):
            await ask(engine, "SELECT 1")


async def test_psycopgs_names_exist_already_for_a_new_connection(
    database_url: str, make_engine: MakeEngine
) -> None:
    async def order(connection: AsyncConnection) -> None:
        for _ in range(6):
            await connection.scalar(LONGJING)
        await connection.commit()

    with pooled(database_url, max_prepared_statements="0") as url:
        engine = make_engine(make_url(url).set(drivername="postgresql+psycopg"))
        async with engine.connect() as first, engine.connect() as second:
            await order(first)
            with pytest.raises(DBAPIError, match='"_pg3_0" already exists'):
                await order(second)


# Sums


async def test_in_session_mode_the_defaults_work(
    database_url: str, make_engine: MakeEngine
) -> None:
    with pooled(database_url, pool_mode="session", max_prepared_statements="0") as url:
        engine = make_engine(url)
        async with engine.connect() as first, engine.connect() as second:
            for _ in range(3):
                assert await first.scalar(LONGJING) == "longjing"
                await first.commit()
                assert await second.scalar(OOLONG) == "oolong"


async def test_tasks_wait_in_pgbouncer_and_not_in_the_pool(
    database_url: str, make_engine: MakeEngine
) -> None:
    with pooled(database_url, query_wait_timeout="1") as url:
        engine = make_engine(url, pool_size=3, connect_args=CURE)
        async with engine.connect() as first, engine.connect() as second:
            await first.execute(LONGJING)
            await second.execute(OOLONG)
            with pytest.raises(DBAPIError, match="query_wait_timeout") as caught:
                await ask(engine, "SELECT 1")
            assert not isinstance(caught.value, PoolTimeout)


async def test_tasks_that_wait_in_pgbouncer_may_take_all_of_the_pool(
    database_url: str, make_engine: MakeEngine
) -> None:
    with pooled(database_url, default_pool_size="1") as url:
        engine = make_engine(url, pool_size=2, max_overflow=0, pool_timeout=0.5, connect_args=CURE)
        async with engine.connect() as first:
            await first.execute(LONGJING)
            second = asyncio.create_task(ask(engine, "SELECT 1"))
            await eventually("the pool is lent", lambda: checked_out(engine) == 2)
            with pytest.raises(PoolTimeout, match="QueuePool limit"):
                await ask(engine, "SELECT 1")
        assert await second == 1


# Who ended the connection


async def wait_in_line(engine: AsyncEngine, url: str) -> None:
    other = create_async_engine(url, connect_args=CURE)
    try:
        async with other.connect() as first:
            await first.execute(LONGJING)
            await ask(engine, "SELECT 1")
    finally:
        await other.dispose()


async def take_long(engine: AsyncEngine, url: str) -> None:
    await ask(engine, "SELECT pg_sleep(30)")


async def pause_in_a_transaction(engine: AsyncEngine, url: str) -> None:
    async with engine.connect() as connection:
        await connection.execute(LONGJING)
        await asyncio.sleep(2.5)
        await connection.execute(OOLONG)


async def pause_in_the_pool(engine: AsyncEngine, url: str) -> None:
    await ask(engine, "SELECT 1")
    await asyncio.sleep(2.5)
    await ask(engine, "SELECT 1")


async def be_ended(engine: AsyncEngine, url: str) -> None:
    other = create_async_engine(url, connect_args=CURE)
    end = (
        "SELECT count(pg_terminate_backend(pid)) = 1 FROM pg_stat_activity"
        " WHERE datname = current_database() AND wait_event = 'PgSleep'"
    )
    sleeping = asyncio.create_task(ask(engine, "SELECT pg_sleep(30)"))
    try:
        await eventually("the query is ended", lambda: ask(other, end))
    finally:
        await other.dispose()
    await sleeping


@pytest.mark.parametrize("driver", ["asyncpg", "psycopg"])
@pytest.mark.parametrize(
    ("suffer", "settings", "word", "asyncpg_says", "psycopg_says"),
    [
        (
            wait_in_line,
            {"default_pool_size": "1", "query_wait_timeout": "1"},
            "query_wait_timeout",
            IN_THE_MIDDLE,
            "query_wait_timeout",
        ),
        (take_long, {"query_timeout": "1"}, "query timeout", IN_THE_MIDDLE, "query timeout"),
        (
            be_ended,
            {},
            "server conn crashed?",
            IN_THE_MIDDLE,
            "terminating connection due to administrator command",
        ),
        (
            pause_in_a_transaction,
            {"idle_transaction_timeout": "1"},
            "idle transaction timeout",
            "connection is closed",
            "idle transaction timeout",
        ),
        (
            pause_in_a_transaction,
            {"query_timeout": "1"},
            "query timeout",
            "connection is closed",
            "query timeout",
        ),
        (
            pause_in_the_pool,
            {"client_idle_timeout": "1"},
            "client_idle_timeout",
            "connection is closed",
            "client_idle_timeout",
        ),
    ],
)
async def test_what_pgbouncer_ended_counts_as_lost_with_its_word_if_a_query_was_under_way(
    suffer: Callable[[AsyncEngine, str], Awaitable[None]],
    settings: dict[str, str],
    word: str,
    asyncpg_says: str,
    psycopg_says: str,
    driver: str,
    database_url: str,
    make_engine: MakeEngine,
) -> None:
    args = CURE if driver == "asyncpg" else {"prepare_threshold": None}
    with pooled(database_url, **settings) as url:
        engine = engine_for(make_engine, url, driver, connect_args=args)
        with pytest.raises(DBAPIError) as caught:
            await suffer(engine, url)
        said = str(caught.value.orig)
        assert (asyncpg_says if driver == "asyncpg" else psycopg_says) in said
        assert driver == "psycopg" or (word in said) is (asyncpg_says == IN_THE_MIDDLE)
        by_pgbouncer = isinstance(caught.value.orig, psycopg.errors.ProtocolViolation)
        assert driver == "asyncpg" or by_pgbouncer is (word in said)
        assert caught.value.connection_invalidated
        assert await ask(engine, "SELECT 'oolong'") == "oolong"
        await engine.dispose()
    assert all(f"`{word}`" in page for page in PAGES)


@pytest.mark.parametrize(
    ("driver", "plain"), [("asyncpg", {"ssl": "disable"}), ("psycopg", {"sslmode": "disable"})]
)
async def test_a_login_that_does_not_go_on_is_ended_by_client_login_timeout(
    driver: str, plain: dict[str, str], database_url: str, make_engine: MakeEngine
) -> None:
    with pooled(database_url, client_login_timeout="1") as url:
        async with Proxy(url) as proxy:
            proxy.edit = lambda side, data: b"" if side == "client" else data
            engine = engine_for(make_engine, proxy.url, driver, connect_args=plain)
            with pytest.raises(Exception, match=r"client_login_timeout(?! \(server down)"):
                await ask(engine, "SELECT 1")


@pytest.mark.parametrize("need_release", [need_pgbouncer, need_old_pgbouncer])
async def test_server_down_may_be_the_limit_of_pgbouncer_for_this_user(
    database_url: str, make_engine: MakeEngine, need_release: Callable[[], Release]
) -> None:
    limits = {"client_login_timeout": "1", "max_user_connections": "1"}
    with run_pgbouncer(database_url, need_release(), **limits) as url:
        engine = make_engine(url)
        other = make_engine(make_url(url).set(database="other"))
        async with engine.connect() as connection:
            await connection.execute(text("SELECT 1"))
            with pytest.raises(Exception, match=r"client_login_timeout \(server down\)"):
                await ask(other, "SELECT 1")
        await engine.dispose()
        await other.dispose()


async def test_query_wait_timeout_comes_of_a_server_that_is_away_too(
    make_engine: MakeEngine,
) -> None:
    with EmbeddedPostgres() as server, pooled(server.url(), query_wait_timeout="2") as url:
        engine = make_engine(url, connect_args=CURE)
        assert await ask(engine, "SELECT 1") == 1
        server.stop()
        with pytest.raises(DBAPIError, match="query_wait_timeout"):
            await ask(engine, "SELECT 1")
        await engine.dispose()


async def test_query_timeout_has_an_underscore_for_those_who_wait_in_line(
    database_url: str, make_engine: MakeEngine
) -> None:
    with pooled(database_url, query_timeout="1") as url:
        engine = make_engine(url, connect_args=CURE)
        assert await ask(engine, "SELECT 1") == 1
        console = make_url(url).set(database="pgbouncer")
        with psycopg.connect(dsn_of(console), autocommit=True) as it:
            it.execute("PAUSE")
            with pytest.raises(DBAPIError, match="query_timeout"):
                await ask(engine, "SELECT 1")
            it.execute("RESUME")


async def test_psycopg_has_pgbouncers_word_where_the_server_sent_none(
    database_url: str, make_engine: MakeEngine
) -> None:
    async with Proxy(database_url) as line:
        with pooled(line.url.render_as_string(hide_password=False)) as url:
            engine = engine_for(
                make_engine, url, "psycopg", connect_args={"prepare_threshold": None}
            )
            direct = make_engine()
            sleeping = asyncio.create_task(ask(engine, "SELECT pg_sleep(30)"))
            asleep = "SELECT count(*) = 1 FROM pg_stat_activity WHERE wait_event = 'PgSleep'"
            asleep += " AND datname = current_database()"
            await eventually("the query is under way", lambda: ask(direct, asleep))
            line.cut()
            with pytest.raises(DBAPIError, match=r"server conn crashed\?"):
                await sleeping
            await engine.dispose()


async def test_server_down_may_concern_one_user_of_a_database(
    make_engine: MakeEngine,
) -> None:
    with EmbeddedPostgres() as server:
        place = make_url(server.url())
        await ask_nothing(make_engine(place), "CREATE ROLE guest LOGIN PASSWORD 'secret'")
        with password_file((place.username, place.password), ("guest", "secret")) as users:
            limits = {"client_login_timeout": "1", "max_db_connections": "1"}
            with pooled(server.url(), auth_file=str(users), **limits) as url:
                engine = make_engine(url, connect_args=CURE)
                async with engine.connect() as connection:
                    await connection.execute(LONGJING)
                    guest = make_url(url).set(username="guest", password="secret")
                    with pytest.raises(Exception, match=r"client_login_timeout \(server down\)"):
                        await ask(make_engine(guest), "SELECT 1")
                await engine.dispose()


@contextmanager
def password_file(*logins: tuple[str | None, str | None]) -> Iterator[Path]:
    """An `auth_file`, which PgBouncer can read as whoever it runs."""
    with tempfile.TemporaryDirectory() as folder:
        Path(folder).chmod(0o755)
        file = Path(folder, "users")
        file.write_text("".join(f'"{name}" "{word}"\n' for name, word in logins), "utf-8")
        yield file


@pytest.mark.parametrize("need_release", [need_pgbouncer, need_old_pgbouncer])
@pytest.mark.parametrize(
    ("method", "said"), [("scram-sha-256", "SASL authentication failed"), ("md5", "password auth")]
)
async def test_pgbouncer_names_no_user_whose_password_is_wrong(
    need_release: Callable[[], Release],
    method: str,
    said: str,
    database_url: str,
    make_engine: MakeEngine,
) -> None:
    with run_pgbouncer(database_url, need_release(), auth_type=method) as url:
        with pytest.raises(Exception, match=said) as refused:
            await ask(make_engine(make_url(url).set(password="wrong")), "SELECT 1")
        assert "for user" not in str(refused.value)


async def test_a_long_password_is_taken_where_it_is_not_sent_in_the_clear(
    make_engine: MakeEngine,
) -> None:
    with EmbeddedPostgres() as server:
        long = make_url(server.url()).set(username="guest", password="x" * 3000)
        direct = make_engine(server.url())
        await ask_nothing(direct, f"CREATE ROLE guest LOGIN PASSWORD '{long.password}'")
        secret = str(await ask(direct, "SELECT rolpassword FROM pg_authid WHERE rolname = 'guest'"))
        assert await ask(make_engine(long), "SELECT 'longjing'") == "longjing"
        with (
            password_file(("guest", secret)) as users,
            pooled(server.url(), auth_file=str(users)) as url,
        ):
            through = make_url(url).set(username="guest", password=long.password)
            engine = make_engine(through, connect_args=CURE)
            assert await ask(engine, "SELECT 'longjing'") == "longjing"
            await engine.dispose()


LONG = "password authentication failed"


@pytest.mark.parametrize(
    ("need_release", "length", "said"),
    [
        (need_pgbouncer, 2048, LONG),
        (need_pgbouncer, 5000, LONG),
        (need_old_pgbouncer, 2048, LONG),
        (need_old_pgbouncer, 5000, "client sent partial pkt in startup phase"),
    ],
)
async def test_a_password_longer_than_2047_is_refused_without_the_users_name(
    need_release: Callable[[], Release],
    length: int,
    said: str,
    database_url: str,
    make_engine: MakeEngine,
) -> None:
    server = make_url(database_url).set(password="x" * length)
    place = server.render_as_string(hide_password=False)
    with run_pgbouncer(place, need_release(), auth_type="plain") as url:
        with pytest.raises(Exception, match=said) as refused:
            await ask(make_engine(url), "SELECT 1")
        assert "for user" not in str(refused.value)


async def test_a_password_of_2047_is_not_refused_by_pgbouncer(
    database_url: str, make_engine: MakeEngine
) -> None:
    server = make_url(database_url).set(password="x" * 2047)
    place = server.render_as_string(hide_password=False)
    timeout = {"client_login_timeout": "1"}
    with (
        run_pgbouncer(place, need_pgbouncer(), auth_type="plain", **timeout) as url,
        pytest.raises(Exception, match=r"server down|for user"),  # by PostgreSQL
    ):
        await ask(make_engine(url), "SELECT 1")


async def test_asyncpgs_own_pool_sends_reset_all_at_each_return_and_sqlalchemys_does_not(
    database_url: str, make_engine: MakeEngine, watcher: AsyncConnection
) -> None:
    named = {"server_settings": {"application_name": "tea"}}
    last = text("SELECT query FROM pg_stat_activity WHERE application_name = 'tea'")
    async with asyncpg.create_pool(dsn_of(database_url), min_size=1, max_size=1, **named) as pool:
        await pool.fetch("SELECT 'oolong'")
        assert "RESET ALL" in str(await watcher.scalar(last))
    engine = make_engine(connect_args=named)
    assert await ask(engine, "SELECT 'oolong'") == "oolong"
    assert await watcher.scalar(last) == "COMMIT;"


async def test_pre_ping_replaces_what_was_idle_too_long(
    database_url: str, make_engine: MakeEngine
) -> None:
    with pooled(database_url, client_idle_timeout="1") as url:
        engine = make_engine(url, connect_args=CURE, pool_pre_ping=True)
        await pause_in_the_pool(engine, url)
        await engine.dispose()


async def test_a_lock_outlives_the_client_that_took_it(
    database_url: str, make_engine: MakeEngine
) -> None:
    take = text("SELECT pg_try_advisory_lock(42)")
    with pooled(database_url) as url:
        engine = make_engine(url, connect_args=CURE, isolation_level="AUTOCOMMIT")
        async with engine.connect() as client:
            assert await client.scalar(take) is True
        await engine.dispose()
        direct = make_engine(isolation_level="AUTOCOMMIT")
        async with direct.connect() as other:
            assert await other.scalar(take) is False
            holder = (
                "SELECT pid FROM pg_locks WHERE locktype = 'advisory' AND objid = 42"
                " AND database = (SELECT oid FROM pg_database WHERE datname = current_database())"
            )
            await other.execute(text(f"SELECT pg_terminate_backend(pid) FROM ({holder})"))

            async def free() -> bool:
                return await other.scalar(take) is True

            await eventually("the lock is free", free)


@pytest.mark.parametrize("need_release", [need_pgbouncer, need_old_pgbouncer])
@pytest.mark.parametrize(("commits", "left"), [(True, 1), (False, 0)])
async def test_a_lock_ends_with_a_client_that_dies_in_a_transaction(
    need_release: Callable[[], Release],
    commits: bool,
    left: int,
    database_url: str,
    make_engine: MakeEngine,
) -> None:
    direct = make_engine(isolation_level="AUTOCOMMIT")
    count = (
        "SELECT count(*) FROM pg_locks WHERE locktype = 'advisory' AND objid = 43"
        " AND database = (SELECT oid FROM pg_database WHERE datname = current_database())"
    )
    clients = "SELECT count(*) FROM pg_stat_activity WHERE state = 'idle in transaction'"
    with run_pgbouncer(database_url, need_release()) as url:
        engine = make_engine(url, connect_args=CURE)
        async with engine.connect() as client:
            await client.execute(text("SELECT pg_advisory_lock(43)"))
            assert await ask(direct, count) == 1
            if commits:
                await client.commit()
            await client.invalidate()

            async def ended() -> bool:
                return await ask(direct, clients) == 0

            await eventually("the transaction has ended", ended)
            assert await ask(direct, count) == left


async def test_asyncpg_sets_jit_by_itself_when_it_meets_an_enum(make_engine: MakeEngine) -> None:
    engine = make_engine()
    sent = record_queries(engine)
    async with engine.connect() as connection:
        await connection.execute(text("CREATE TYPE pg_temp.cup AS ENUM ('small', 'large')"))
        await connection.execute(text("SELECT 1"))
        assert not [query for query in sent if "set_config('jit'" in query]
        await connection.execute(text("SELECT CAST('small' AS pg_temp.cup)"))
        assert [query for query in sent if "set_config('jit'" in query]
