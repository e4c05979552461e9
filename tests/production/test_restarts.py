"""Restarts and failovers beyond what the snippets print, with a real standby that is promoted."""

import asyncio
import re
from collections.abc import Awaitable, Callable
from contextlib import suppress
from typing import Any

import pytest
from sqlalchemy import event, make_url, text
from sqlalchemy.exc import DBAPIError
from sqlalchemy.ext.asyncio import AsyncEngine, AsyncSession, create_async_engine
from sqlalchemy.pool import NullPool

from tests.asking import ask
from tests.loading import load_snippet
from tests.poolers import need_old_pgbouncer, need_pgbouncer
from tests.pools import MakeEngine, both_drivers, engine_for
from tests.waiting import eventually
from tools.measure.outages import OUTAGES, SETTINGS, USERS, suffer
from tools.paths import OUTAGES_TABLE
from tools.postgres import EmbeddedPostgres, Proxy, Standby
from tools.postgres.pgbouncer import Release, run_pgbouncer

CREATE = "CREATE TABLE orders (drink text)"
INSERT = "INSERT INTO orders VALUES ('oolong')"
COUNT = "SELECT count(*) FROM orders"
XID = "SELECT CAST(pg_current_xact_id() AS text)"
NO_PRIMARY = "None of the hosts match the target attribute requirement"
EACH_HOST = "production/restarts/each_host.py"
is_transient = load_snippet("production/restarts/outage.py")["is_transient"]
renew = load_snippet("production/restarts/read_only.py")["renew"]
STATUS = text("SELECT pg_xact_status(CAST(CAST(:xid AS text) AS xid8))")


async def write(engine: AsyncEngine) -> None:
    async with engine.begin() as connection:
        await connection.execute(text(INSERT))


async def write_until_served(engine: AsyncEngine) -> list[Exception]:
    """The errors on the way, all of them worth another attempt."""
    errors = list[Exception]()

    async def served() -> bool:
        try:
            await write(engine)
        except Exception as error:
            if not is_transient(error):
                raise
            errors.append(error)
            return False
        return True

    await eventually("the order is placed", served)
    return errors


def has(standby: EmbeddedPostgres, table: str = "orders") -> Callable[[], Awaitable[object]]:
    return lambda: ask(standby.url(), f"SELECT to_regclass('{table}') IS NOT NULL")


# The table


@pytest.mark.parametrize(
    ("outage", "settings", "errors"),
    [
        ("ended", "defaults", 1),
        ("ended", "pool_pre_ping", 0),
        ("silent", "limits of 1 s", USERS),
        ("silent", "both", USERS),
        ("read-only", "both, read-write", 0),
    ],
)
async def test_what_helps_and_what_it_costs(outage: str, settings: str, errors: int) -> None:
    outcome = await suffer(outage, settings, patience=60)
    assert (outcome.served, len(outcome.errors)) == (USERS, errors)


@pytest.mark.parametrize(
    ("outage", "settings"),
    [("silent", "defaults"), ("silent", "pool_pre_ping"), ("read-only", "both")],
)
async def test_what_does_not_help(outage: str, settings: str) -> None:
    assert (await suffer(outage, settings, patience=3)).served == 0


async def test_no_setting_spares_the_errors_while_the_server_is_away() -> None:
    outcome = await suffer("away", "both", patience=60)
    assert outcome.served == USERS
    assert len(outcome.errors) >= USERS


async def test_the_listener_costs_an_error_for_each_user_who_was_there() -> None:
    outcome = await suffer("read-only", "both, 25006", patience=60)
    assert outcome.served == USERS
    assert 1 <= len(outcome.errors) <= USERS


async def test_limits_make_errors_of_a_slow_line() -> None:
    assert (await suffer("slow", "defaults", patience=60)).errors == []
    assert "TimeoutError" in (await suffer("slow", "limits of 1 s", patience=60)).errors


def test_the_record_has_a_cell_for_each_outage_and_setting() -> None:
    rows = OUTAGES_TABLE.read_text("utf-8").split("\n\n")[1].splitlines()
    assert rows[0].split() == list(OUTAGES)
    assert [row[:16].strip() for row in rows[1:]] == list(SETTINGS)
    assert all(len(re.findall(r"\d+, (?:never|[\d.]+ s)", row)) == len(OUTAGES) for row in rows[1:])


# Failover: a real standby is promoted


@both_drivers
async def test_with_two_hosts_the_pool_finds_the_promoted_standby(
    make_engine: MakeEngine, driver: str
) -> None:
    with EmbeddedPostgres() as primary, Standby(primary) as standby:
        await ask(primary.url(), CREATE)
        await eventually("the standby has the table", has(standby))
        hosts = [f"127.0.0.1:{server.port}" for server in (primary, standby)]
        url = make_url(primary.url()).set(host="", port=None, query={"host": hosts})
        wanted = {"target_session_attrs": "read-write"}
        engine = engine_for(make_engine, url, driver, pool_pre_ping=True, connect_args=wanted)
        await write(engine)
        primary.kill()
        with pytest.raises(Exception, match=r"Connect call failed|read-only|refused"):
            await write(engine)  # nobody takes writes yet
        standby.promote()
        assert await write_until_served(engine) == []
        assert await ask(standby.url(), "SELECT NOT pg_is_in_recovery()")
        await engine.dispose()


@pytest.mark.parametrize("hosts", [1, 2])
async def test_where_all_hosts_are_standbys_asyncpg_says_so_and_it_is_worth_a_retry(
    make_engine: MakeEngine, hosts: int
) -> None:
    with EmbeddedPostgres() as primary, Standby(primary) as standby:
        url = make_url(standby.url())
        two = [f"127.0.0.1:{standby.port}"] * hosts
        engine = make_engine(
            url.set(host="", port=None, query={"host": two}),
            connect_args={"target_session_attrs": "read-write"},
        )
        with pytest.raises(Exception, match=NO_PRIMARY) as caught:
            await write(engine)
        assert is_transient(caught.value)
        await engine.dispose()


async def test_connections_made_before_the_promotion_write_after_it(
    make_engine: MakeEngine,
) -> None:
    with EmbeddedPostgres() as primary, Standby(primary) as standby:
        await ask(primary.url(), CREATE)
        await eventually("the standby has the table", has(standby))
        engine = make_engine(standby.url(), pool_size=1)
        with pytest.raises(DBAPIError, match="cannot execute INSERT in a read-only transaction"):
            await write(engine)
        async with engine.connect() as connection:
            await connection.execute(text(COUNT))
            standby.promote()
            with pytest.raises(DBAPIError, match="cannot execute INSERT in a read-only"):
                await connection.execute(text(INSERT))  # in a transaction that was open
        made = list[object]()
        event.listen(engine.sync_engine, "connect", lambda *args: made.append(args))
        await write(engine)
        assert made == []
        await engine.dispose()


async def test_the_address_moves_while_the_pool_follows_the_listener(
    make_engine: MakeEngine,
) -> None:
    with EmbeddedPostgres() as primary, Standby(primary) as standby:
        await ask(primary.url(), CREATE)
        await eventually("the standby has the table", has(standby))
        async with Proxy(primary.url()) as line:
            engine = make_engine(line.url, pool_pre_ping=True)
            await write(engine)
            line.server = make_url(standby.url())
            primary.kill()
            with pytest.raises(DBAPIError) as caught:
                await write(engine)
            assert is_transient(caught.value)
            standby.promote()
            assert await write_until_served(engine) == []
            await engine.dispose()


async def test_each_host_passes_over_a_host_that_only_reads() -> None:
    with EmbeddedPostgres() as primary, Standby(primary) as standby:
        names = load_snippet(EACH_HOST, primary.url())
        names["hosts"].insert(0, ("127.0.0.1", standby.port))
        async with names["engine"].connect() as connection:
            assert await connection.scalar(text("SELECT NOT pg_is_in_recovery()"))
        await names["engine"].dispose()


async def test_each_host_makes_a_wrong_password_look_transient() -> None:
    with EmbeddedPostgres() as server:
        url = make_url(server.url()).set(password="wrong")
        with pytest.raises(Exception, match="password authentication failed") as plain:
            await write(create_async_engine(url, poolclass=NullPool))
        assert not is_transient(plain.value)
        names = load_snippet(EACH_HOST, url.render_as_string(hide_password=False))
        with pytest.raises(ConnectionError, match="password authentication failed") as caught:
            await write(names["engine"])
        assert is_transient(caught.value)


async def test_target_session_attrs_is_asked_on_connecting_and_renew_notices_later(
    make_engine: MakeEngine,
) -> None:
    with EmbeddedPostgres() as server:
        await ask(server.url(), CREATE)
        wanted = {"target_session_attrs": "read-write"}
        engine = make_engine(server.url(), pool_pre_ping=True, connect_args=wanted)
        await write(engine)
        setting = "ALTER SYSTEM SET default_transaction_read_only TO on"
        await ask(server.url(), setting, "SELECT pg_reload_conf()")
        reads_only = "SELECT current_setting('default_transaction_read_only') = 'on'"
        await eventually("the setting counts", lambda: ask(server.url(), reads_only))
        for invalidated in (False, True):
            with pytest.raises(DBAPIError, match="INSERT in a read-only transaction") as caught:
                await write(engine)
            assert caught.value.connection_invalidated is invalidated
            event.listen(engine.sync_engine, "handle_error", renew)
        with pytest.raises(Exception, match=NO_PRIMARY):
            await write(engine)
        await engine.dispose()


async def test_with_async_creator_connect_args_and_the_query_of_the_url_are_ignored(
    make_engine: MakeEngine,
) -> None:
    with EmbeddedPostgres() as server:
        engine = make_engine(
            make_url(server.url()).update_query_dict({"ssl": "require"}),
            async_creator=load_snippet(EACH_HOST, server.url())["connect"],
            connect_args={"server_settings": {"application_name": "teahouse"}},
        )
        async with engine.connect() as connection:
            assert await connection.scalar(text("SHOW application_name")) == ""
            encrypted = text("SELECT ssl FROM pg_stat_ssl WHERE pid = pg_backend_pid()")
            assert await connection.scalar(encrypted) is False
        await engine.dispose()


async def test_on_psycopg_a_refused_connection_needs_the_test_for_both_drivers(
    make_engine: MakeEngine, database_url: str
) -> None:
    place = make_url(database_url).set(port=1)
    for driver, transient in {"asyncpg": True, "psycopg": False}.items():
        with pytest.raises(Exception, match=r"Connect call failed|refused") as caught:
            await write(engine_for(make_engine, place, driver))
        assert is_transient(caught.value) is transient


@pytest.mark.parametrize(("limit", "command_timeout"), [(1, 1), (60, 0.3)])
async def test_on_a_silent_line_run_needs_a_longer_limit_than_one_statement(
    make_engine: MakeEngine, database_url: str, limit: int, command_timeout: float
) -> None:
    changes = {"timeout(30)": f"timeout({limit})"}
    names = load_snippet("production/restarts/outage.py", changes=changes)

    async def work(session: AsyncSession) -> str:
        return str(await session.scalar(text("SELECT 'oolong'")))

    async with Proxy(database_url) as line:
        limits = {"command_timeout": command_timeout}
        names["engine"] = make_engine(line.url, pool_pre_ping=True, connect_args=limits)
        async with names["engine"].connect():
            pass
        line.swallow()
        if limit > command_timeout:
            assert await names["run"](work) == "oolong"
            assert names["errors"] == ["TimeoutError"]
        else:
            with pytest.raises(TimeoutError):
                await names["run"](work)
            assert names["errors"] == []  # no second attempt
        line.cut()


# Behind PgBouncer


@pytest.mark.parametrize("need_release", [need_pgbouncer, need_old_pgbouncer])
async def test_behind_pgbouncer_idle_connections_outlive_a_restart_and_errors_are_transient(
    make_engine: MakeEngine, need_release: Callable[[], Release]
) -> None:
    with (
        EmbeddedPostgres() as server,
        run_pgbouncer(server.url(), need_release(), default_pool_size="2") as url,
    ):
        await ask(server.url(), CREATE)
        caches = {"statement_cache_size": 0, "prepared_statement_cache_size": 0}
        engine = make_engine(url, connect_args=caches)
        async with engine.connect() as first, engine.connect():
            await first.execute(text(COUNT))
            server.restart()
            with pytest.raises(DBAPIError) as lost:
                await first.execute(text(COUNT))
            assert is_transient(lost.value)
        await write(engine)
        server.restart()
        await write(engine)  # without an error
        async with engine.connect(), engine.connect(), engine.connect():
            pass  # three that need no login to PgBouncer any more
        server.stop()
        waiting = asyncio.create_task(write(engine))
        refusal = await be_refused(engine)
        assert "server login has been failing" in str(refusal)
        assert is_transient(refusal)
        await asyncio.to_thread(server.start)
        [told] = await asyncio.gather(waiting, return_exceptions=True)
        assert told is None or (isinstance(told, DBAPIError) and is_transient(told))
        await write_until_served(engine)
        await engine.dispose()


@pytest.mark.parametrize("need_release", [need_pgbouncer, need_old_pgbouncer])
async def test_a_login_to_a_pgbouncer_that_has_not_reached_the_server_is_not_tried_again(
    make_engine: MakeEngine, database_url: str, need_release: Callable[[], Release]
) -> None:
    away = make_url(database_url).set(port=1).render_as_string(hide_password=False)
    with run_pgbouncer(away, need_release(), client_login_timeout="1") as url:
        with pytest.raises(Exception, match=r"client_login_timeout \(server down\)") as caught:
            await write(make_engine(url))
        error: Any = caught.value
        assert getattr(error, "orig", error).sqlstate == "08P01"
        assert not is_transient(error)


@pytest.mark.parametrize("need_release", [need_pgbouncer, need_old_pgbouncer])
async def test_a_pgbouncer_that_serves_one_database_may_not_have_reached_another(
    make_engine: MakeEngine, database_url: str, need_release: Callable[[], Release]
) -> None:
    # The last line of its settings opens a section: a database at a port where nobody listens.
    away = "1\n[databases]\naway = host=127.0.0.1 port=1"
    with run_pgbouncer(database_url, need_release(), client_login_timeout=away) as url:
        assert await ask(url, "SELECT 'oolong'") == "oolong"
        with pytest.raises(Exception, match=r"client_login_timeout \(server down\)"):
            await write(make_engine(make_url(url).set(database="away")))
        assert await ask(url, "SELECT 'oolong'") == "oolong"


async def be_refused(engine: AsyncEngine) -> DBAPIError:
    """Write until that is refused at once: one of the writes waits instead."""
    errors = list[DBAPIError]()

    async def refused() -> bool:
        try:
            async with asyncio.timeout(1):
                await write(engine)
        except DBAPIError as error:
            errors.append(error)
        except TimeoutError:
            return False
        return bool(errors)

    await eventually("a write is refused at once", refused)
    return errors[-1]


# Was it committed?


@pytest.mark.parametrize("isolation_level", ["REPEATABLE READ", "SERIALIZABLE"])
@both_drivers
async def test_from_repeatable_read_on_the_insert_that_waited_is_worth_a_retry(
    make_engine: MakeEngine, database_url: str, isolation_level: str, driver: str
) -> None:
    insert = text("INSERT INTO orders VALUES (7) ON CONFLICT DO NOTHING")
    await ask(database_url, "CREATE TABLE orders (id int PRIMARY KEY)")
    engine = engine_for(make_engine, database_url, driver, isolation_level=isolation_level)
    async with engine.connect() as first, engine.connect() as second:
        await first.execute(insert)
        pid = await second.scalar(text("SELECT pg_backend_pid()"))
        again = asyncio.create_task(second.execute(insert))
        waits = f"SELECT cardinality(pg_blocking_pids({pid})) = 1"
        await eventually("the second waits", lambda: ask(database_url, waits))
        await first.commit()
        with pytest.raises(DBAPIError, match="could not serialize access") as caught:
            await again
        assert is_transient(caught.value)
    async with engine.begin() as later:  # it begins after that commit
        assert (await later.execute(insert)).rowcount == 0


async def test_where_the_commit_was_lost_the_key_is_held_until_the_server_gives_up(
    make_engine: MakeEngine, database_url: str
) -> None:
    insert = text("INSERT INTO orders VALUES (7) ON CONFLICT DO NOTHING")
    await ask(database_url, "CREATE TABLE orders (id int PRIMARY KEY)")
    for limit, patience in {"0": "200ms", "1s": "60s"}.items():
        settings = {"idle_in_transaction_session_timeout": limit}
        again = make_engine(connect_args={"server_settings": {"lock_timeout": patience}})
        async with Proxy(database_url) as line, again.begin() as second:
            engine = make_engine(line.url, connect_args={"server_settings": settings})
            first = await engine.connect()
            assert (await first.execute(insert)).rowcount == 1
            line.swallow()
            if limit == "0":
                with pytest.raises(DBAPIError, match="canceling statement due to lock timeout"):
                    await second.execute(insert)
            else:
                assert (await second.execute(insert)).rowcount == 1
            line.cut()
            with suppress(DBAPIError):  # the line is gone
                await first.close()
            await engine.dispose()


async def test_after_an_asynchronous_failover_the_status_of_a_transaction_may_lie() -> None:
    with EmbeddedPostgres() as primary, Standby(primary) as standby:
        await ask(primary.url(), CREATE)
        await eventually("the standby has the table", has(standby))
        follow = "SELECT count(*) FROM pg_stat_wal_receiver"

        async def deaf() -> bool:
            return bool(await ask(standby.url(), follow) == 0)

        await ask(
            standby.url(), "ALTER SYSTEM SET primary_conninfo = ''", "SELECT pg_reload_conf()"
        )
        await eventually("the standby hears nothing", deaf)
        engine = create_async_engine(primary.url(), poolclass=NullPool)
        async with engine.begin() as connection:
            await connection.execute(text(INSERT))
            xid = await connection.scalar(text(XID))
        primary.kill()
        standby.promote()
        engine = create_async_engine(standby.url(), poolclass=NullPool)
        async with engine.connect() as connection:
            with pytest.raises(DBAPIError, match="is in the future"):
                await connection.scalar(STATUS, {"xid": xid})
        while int(await ask(standby.url(), XID)) < int(str(xid)):
            pass  # others work, and their numbers reach ours
        async with engine.connect() as connection:
            assert await connection.scalar(STATUS, {"xid": xid}) == "committed"
            assert await connection.scalar(text(COUNT)) == 0  # and the order is not there


async def test_after_a_crash_the_number_of_a_lost_transaction_is_given_again(
    make_engine: MakeEngine,
) -> None:
    with EmbeddedPostgres(synchronous_commit="on") as server:
        await ask(server.url(), CREATE)
        engine = make_engine(server.url())
        async with engine.connect() as connection:
            await connection.execute(text(INSERT))
            lost = await connection.scalar(text(XID))
            server.restart("immediate")
            with pytest.raises(DBAPIError):
                await connection.execute(text(COUNT))
        while int(await ask(server.url(), XID)) < int(str(lost)):
            pass
        async with create_async_engine(server.url(), poolclass=NullPool).connect() as connection:
            assert await connection.scalar(STATUS, {"xid": lost}) == "committed"
            assert await connection.scalar(text(COUNT)) == 0
        await engine.dispose()


async def test_after_a_crash_a_number_that_was_written_down_is_not_given_again(
    make_engine: MakeEngine,
) -> None:
    with EmbeddedPostgres(synchronous_commit="on") as server:
        await ask(server.url(), CREATE)
        engine = make_engine(server.url())
        async with engine.connect() as connection:
            await connection.execute(text(INSERT))
            lost = await connection.scalar(text(XID))
            await ask(server.url(), INSERT)  # whose commit takes ours along
            server.restart("immediate")
            with pytest.raises(DBAPIError):
                await connection.execute(text(COUNT))
        assert int(await ask(server.url(), XID)) > int(str(lost))
        async with engine.connect() as connection:
            assert await connection.scalar(STATUS, {"xid": lost}) == "aborted"
        await engine.dispose()


READS_ONLY = "SELECT pg_is_in_recovery(), current_setting('default_transaction_read_only')"


@both_drivers
async def test_a_setting_may_make_a_primary_read_only_and_renewing_is_in_vain(
    make_engine: MakeEngine, database_url: str, driver: str
) -> None:
    database = make_url(database_url).database
    await ask(database_url, CREATE)
    setting = f'ALTER DATABASE "{database}" SET default_transaction_read_only TO on'
    await ask(database_url, setting)
    engine = engine_for(make_engine, database_url, driver)
    made = list[object]()
    event.listen(engine.sync_engine, "connect", lambda *args: made.append(args))
    event.listen(engine.sync_engine, "handle_error", renew)
    for _ in range(3):
        with pytest.raises(DBAPIError, match="INSERT in a read-only transaction") as caught:
            await write(engine)
        assert getattr(caught.value.orig, "sqlstate", None) == "25006"
    assert len(made) == 3
    async with engine.connect() as connection:
        assert tuple((await connection.execute(text(READS_ONLY))).one()) == (False, "on")


@both_drivers
async def test_pooled_connections_keep_a_setting_that_is_gone_until_they_are_renewed(
    make_engine: MakeEngine, database_url: str, driver: str
) -> None:
    setting = f'ALTER DATABASE "{make_url(database_url).database}"'
    await ask(database_url, CREATE, f"{setting} SET default_transaction_read_only TO on")
    engine = engine_for(make_engine, database_url, driver, pool_pre_ping=True)
    async with engine.connect():
        pass
    writing = "SET default_transaction_read_only TO off"
    await ask(database_url, writing, f"{setting} RESET default_transaction_read_only")
    for _ in range(2):
        with pytest.raises(DBAPIError, match="INSERT in a read-only transaction"):
            await write(engine)
        event.listen(engine.sync_engine, "handle_error", renew)
    await write(engine)


@both_drivers
async def test_a_read_only_transaction_of_your_own_reads_the_same(
    make_engine: MakeEngine, database_url: str, driver: str
) -> None:
    await ask(database_url, CREATE)
    engine = engine_for(make_engine, database_url, driver)
    with pytest.raises(DBAPIError, match="INSERT in a read-only transaction"):
        await write(engine.execution_options(postgresql_readonly=True))
    async with engine.connect() as connection:
        assert tuple((await connection.execute(text(READS_ONLY))).one()) == (False, "off")


async def test_on_a_standby_psycopg_refuses_to_begin_read_write(make_engine: MakeEngine) -> None:
    with EmbeddedPostgres() as primary, Standby(primary) as standby:
        asyncpg = make_engine(standby.url()).execution_options(postgresql_readonly=False)
        async with asyncpg.connect() as connection:
            answer = (await connection.execute(text(READS_ONLY))).one()
            assert tuple(answer) == (True, "off")
        psycopg = engine_for(make_engine, standby.url(), "psycopg")
        event.listen(psycopg.sync_engine, "handle_error", renew)
        words = "cannot set transaction read-write mode during recovery"
        with pytest.raises(DBAPIError, match=words) as caught:
            async with psycopg.execution_options(postgresql_readonly=False).connect() as connection:
                await connection.execute(text("SELECT 1"))
        assert getattr(caught.value.orig, "sqlstate", None) == "0A000"
        assert not caught.value.connection_invalidated
        await asyncpg.dispose()
        await psycopg.dispose()
