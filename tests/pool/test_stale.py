"""What the page on stale connections claims beyond the lines that its snippets print."""

import asyncio
import ctypes
import logging
import os
import re
import socket
import struct
import sys
import traceback
from collections.abc import AsyncIterator, Callable, Coroutine
from concurrent.futures import ThreadPoolExecutor
from contextlib import asynccontextmanager
from functools import cache
from inspect import getsource, signature
from string import ascii_uppercase
from types import SimpleNamespace
from typing import Any

import asyncpg  # type: ignore[import-untyped]
import psycopg
import pytest
import uvloop
from sqlalchemy import event, make_url, text
from sqlalchemy.engine import ExceptionContext
from sqlalchemy.exc import (
    DBAPIError,
    InterfaceError,
    InternalError,
    OperationalError,
)
from sqlalchemy.ext.asyncio import (
    AsyncConnection,
    AsyncEngine,
    AsyncSession,
    create_async_engine,
)
from sqlalchemy.pool import NullPool

from tests.asking import OTHERS, ask, end_backend, until_ended
from tests.loading import load_snippet
from tests.poolers import need_old_pgbouncer, need_pgbouncer
from tests.pools import MakeEngine, backend_of, both_drivers, engine_for, use
from tests.waiting import eventually
from tools.paths import DOCS, LANGUAGES
from tools.postgres import EmbeddedPostgres, Proxy
from tools.postgres.pgbouncer import Release, run_pgbouncer

SELECT = text("SELECT 'oolong'")
STATEMENT = re.compile(r"LOG:  (?:statement|execute [^:]+): (.*)")


async def fill(engine: AsyncEngine, number: int) -> None:
    """Have the pool hold so many idle connections."""
    for lent in [await engine.connect() for _ in range(number)]:
        await lent.close()


async def terminate_all(database_url: str) -> None:
    """End every other backend of this database, and wait until it is gone."""
    watcher = create_async_engine(database_url, poolclass=NullPool)
    async with watcher.connect() as connection:
        await connection.execute(
            text(
                "SELECT pg_terminate_backend(pid, 10000) FROM pg_stat_activity"
                " WHERE datname = current_database() AND pid <> pg_backend_pid()"
            )
        )


# What pre-ping sends, by the server's own account


def statements(server: EmbeddedPostgres, since: int) -> list[str]:
    """What clients sent after that many lines of the log."""
    return [match[1] for line in server.log()[since:] if (match := STATEMENT.search(line))]


@pytest.mark.parametrize(
    ("driver", "ping", "work"),
    [
        # The empty statement between the two is not logged.
        ("asyncpg", ["BEGIN;", "ROLLBACK;"], ["BEGIN;", "SELECT 'oolong'", "ROLLBACK;"]),
        ("psycopg", [";"], ["BEGIN", "SELECT 'oolong'", "ROLLBACK"]),
    ],
)
async def test_a_ping_goes_out_before_each_transaction_but_not_on_a_new_connection(
    make_engine: MakeEngine, chatty: EmbeddedPostgres, driver: str, ping: list[str], work: list[str]
) -> None:
    engine = engine_for(make_engine, chatty.url(), driver, pool_pre_ping=True)
    await use(engine)
    before = len(chatty.log())
    async with AsyncSession(engine) as session:
        for _ in range(3):
            await session.execute(SELECT)
            await session.rollback()
    assert statements(chatty, before) == [*ping, *work] * 3
    before = len(chatty.log())
    async with engine.connect(), engine.connect() as new:
        await new.execute(SELECT)
    assert statements(chatty, before) == [*ping, *work]


@both_drivers
@pytest.mark.parametrize("need_release", [need_pgbouncer, need_old_pgbouncer])
async def test_pgbouncer_passes_the_ping_on(
    make_engine: MakeEngine,
    chatty: EmbeddedPostgres,
    need_release: Callable[[], Release],
    driver: str,
) -> None:
    with run_pgbouncer(chatty.url(), need_release()) as url:
        engine = engine_for(make_engine, url, driver, pool_pre_ping=True)
        await fill(engine, 1)
        before = len(chatty.log())
        await fill(engine, 1)
        ping = {"asyncpg": ["BEGIN;", "ROLLBACK;"], "psycopg": [";"]}[driver]
        assert statements(chatty, before)[-len(ping) :] == ping
        await engine.dispose()


# The connection was closed


@pytest.mark.parametrize(("driver", "failures"), [("asyncpg", 1), ("psycopg", 5)])
async def test_five_at_once_after_a_restart(
    make_engine: MakeEngine, driver: str, failures: int
) -> None:
    with EmbeddedPostgres() as server:
        engine = engine_for(make_engine, server.url(), driver)
        await fill(engine, 5)
        server.restart()
        await asyncio.sleep(0)  # the event loop hears of the closed sockets
        outcomes = await asyncio.gather(*(use(engine) for _ in range(5)), return_exceptions=True)
        errors = [outcome for outcome in outcomes if isinstance(outcome, DBAPIError)]
        assert len(errors) == failures
        assert all(error.connection_invalidated for error in errors)
        assert await use(engine) == "oolong"
        await engine.dispose()


@pytest.mark.parametrize(("run", "failures"), [(asyncio.run, 5), (uvloop.run, 1)])
def test_five_at_once_fail_on_asyncpg_too_if_a_loop_of_asyncio_has_not_run_since(
    database_url: str, run: Callable[[Coroutine[None, None, None]], None], failures: int
) -> None:
    async def main() -> None:
        engine = create_async_engine(database_url)
        await fill(engine, 5)
        with ThreadPoolExecutor(1) as elsewhere:
            elsewhere.submit(asyncio.run, terminate_all(database_url)).result()
        outcomes = await asyncio.gather(*(use(engine) for _ in range(5)), return_exceptions=True)
        assert sum(isinstance(outcome, DBAPIError) for outcome in outcomes) == failures
        assert await use(engine) == "oolong"
        await engine.dispose()

    run(main())


@both_drivers
async def test_a_failed_ping_renews_the_healthy_connections_too(
    database_url: str,
    make_engine: MakeEngine,
    driver: str,
    watcher: AsyncConnection,
    caplog: pytest.LogCaptureFixture,
) -> None:
    engine = engine_for(make_engine, database_url, driver, pool_pre_ping=True)
    pids = [await three_backends(engine)]
    await end_backend(watcher, pids[0][0])
    with caplog.at_level(logging.INFO, "sqlalchemy.pool"):
        pids.append(await three_backends(engine))
    assert not set(pids[0]) & set(pids[1])
    assert (
        "Disconnection detected on checkout, "
        "invalidating all pooled connections prior to current timestamp"
    ) in caplog.text
    assert "InvalidatePoolError" in caplog.text


async def test_a_failed_ping_renews_what_is_lent_too_once_it_is_back(
    make_engine: MakeEngine, watcher: AsyncConnection
) -> None:
    engine = make_engine(pool_pre_ping=True)
    lent = await engine.connect()
    pids = [int(await lent.scalar(text("SELECT pg_backend_pid()")) or 0), await backend_of(engine)]
    await end_backend(watcher, pids[1])
    await use(engine)  # the ping fails
    assert await lent.scalar(text("SELECT pg_backend_pid()")) == pids[0]
    await lent.close()
    assert not set(await three_backends(engine)) & set(pids)


async def test_pre_ping_cannot_renew_while_the_server_is_down(make_engine: MakeEngine) -> None:
    with EmbeddedPostgres() as server:
        engine = engine_for(make_engine, server.url(), pool_pre_ping=True)
        await use(engine)
        server.stop()
        with pytest.raises(ConnectionRefusedError):
            await use(engine)
        server.start()
        assert await use(engine) == "oolong"
        await engine.dispose()


async def test_asyncpg_words_the_end_otherwise_for_a_statement_that_it_knows(
    database_url: str, make_engine: MakeEngine
) -> None:
    async with Proxy(database_url) as proxy:
        engine = engine_for(make_engine, proxy.url, isolation_level="AUTOCOMMIT")
        await use(engine)
        await hang_up(proxy, reset=False)
        with pytest.raises(InterfaceError, match="the underlying connection is closed"):
            await use(engine)
        await engine.dispose()


async def three_backends(engine: AsyncEngine) -> list[int]:
    """The backends of three connections that are lent at the same time."""
    lent = [await engine.connect() for _ in range(3)]
    pids = [int(await one.scalar(text("SELECT pg_backend_pid()")) or 0) for one in lent]
    for one in lent:
        await one.close()
    return pids


@both_drivers
async def test_with_pre_ping_a_restart_goes_unnoticed(make_engine: MakeEngine, driver: str) -> None:
    with EmbeddedPostgres() as server:
        engine = engine_for(make_engine, server.url(), driver, pool_pre_ping=True)
        await fill(engine, 5)
        server.restart()
        assert await asyncio.gather(*(use(engine) for _ in range(5))) == ["oolong"] * 5
        await engine.dispose()


@pytest.mark.parametrize("pre_ping", [False, True])
async def test_a_loop_that_has_not_heard_of_the_end_words_it_otherwise(
    database_url: str, make_engine: MakeEngine, pre_ping: bool
) -> None:
    engine = make_engine(pool_pre_ping=pre_ping)
    await use(engine)
    with ThreadPoolExecutor(1) as elsewhere:
        elsewhere.submit(asyncio.run, terminate_all(database_url)).result()
    if pre_ping:
        assert await use(engine) == "oolong"
    else:
        with pytest.raises(
            DBAPIError,
            match="connection was closed in the middle of operation: "
            "terminating connection due to administrator command",
        ):
            await use(engine)


@pytest.mark.parametrize(
    ("setting", "said"),
    [
        ("administrator", "terminating connection due to administrator command"),
        ("idle", "terminating connection due to idle-session timeout"),
    ],
)
async def test_psycopg_repeats_the_servers_last_words(
    database_url: str,
    make_engine: MakeEngine,
    watcher: AsyncConnection,
    setting: str,
    said: str,
) -> None:
    options = "-c idle_session_timeout=200ms" if setting == "idle" else ""
    engine = engine_for(make_engine, database_url, "psycopg", connect_args={"options": options})
    pid = await backend_of(engine)
    if setting == "administrator":
        await end_backend(watcher, pid)
    await until_ended(watcher, pid)
    with pytest.raises(OperationalError, match=said):
        await use(engine)


@pytest.mark.parametrize(
    ("driver", "said"),
    [
        ("asyncpg", "connection is closed"),
        (
            "psycopg",
            "server closed the connection unexpectedly This probably means the server terminated "
            "abnormally before or while processing the request.",
        ),
    ],
)
@pytest.mark.parametrize("reset", [False, True], ids=["FIN", "RST"])
async def test_a_line_that_ends_without_a_word_from_the_server(
    database_url: str, make_engine: MakeEngine, driver: str, said: str, reset: bool
) -> None:
    for pre_ping in (False, True):
        async with Proxy(database_url) as proxy:
            engine = engine_for(make_engine, proxy.url, driver, pool_pre_ping=pre_ping)
            await use(engine)
            await hang_up(proxy, reset)
            if pre_ping:
                assert await use(engine) == "oolong"
            else:
                with pytest.raises(DBAPIError) as caught:
                    await use(engine)
                assert said in " ".join(str(caught.value).split())
                assert caught.value.connection_invalidated
            await engine.dispose()


@pytest.mark.parametrize("reset", [False, True], ids=["FIN", "RST"])
async def test_an_rst_during_a_query_is_the_cause_that_asyncpg_names(
    database_url: str, make_engine: MakeEngine, reset: bool
) -> None:
    async with Proxy(database_url) as proxy:
        engine = engine_for(make_engine, proxy.url)
        async with engine.connect() as connection:
            query = asyncio.create_task(connection.execute(text("SELECT pg_sleep(60)")))
            await until_asleep(database_url)
            await hang_up(proxy, reset)
            with pytest.raises(DBAPIError, match="closed in the middle of operation") as caught:
                await query
        said = "".join(traceback.format_exception(caught.value))
        assert ("ConnectionResetError: [Errno 104] Connection reset by peer" in said) == reset
        await engine.dispose()


# Age, not idleness


async def test_recycling_looks_at_age_although_the_connection_never_rested(
    make_engine: MakeEngine, monkeypatch: pytest.MonkeyPatch
) -> None:
    clock = SimpleNamespace(now=0.0)
    monkeypatch.setattr("sqlalchemy.pool.base.time", SimpleNamespace(time=lambda: clock.now))
    engine = make_engine(pool_recycle=1)
    first = await backend_of(engine)
    for clock.now in (0.25, 0.5, 0.75, 1.0):
        assert await backend_of(engine) == first
    clock.now = 1.25  # a quarter of a second after it was used last
    assert await backend_of(engine) != first


async def test_a_lent_connection_is_not_recycled(make_engine: MakeEngine) -> None:
    engine = make_engine(pool_recycle=1)
    async with AsyncSession(engine) as session:
        pid = await session.scalar(text("SELECT pg_backend_pid() FROM pg_sleep(1.5)"))
        assert await session.scalar(text("SELECT pg_backend_pid()")) == pid
    assert await backend_of(engine) != pid


@both_drivers
async def test_a_line_that_nobody_was_told_of_is_given_up_unasked_once_it_is_old(
    driver: str, database_url: str, make_engine: MakeEngine, monkeypatch: pytest.MonkeyPatch
) -> None:
    clock = SimpleNamespace(now=0.0)
    monkeypatch.setattr("sqlalchemy.pool.base.time", SimpleNamespace(time=lambda: clock.now))
    async with Proxy(database_url) as proxy:
        engine = engine_for(make_engine, proxy.url, driver, pool_recycle=1)
        dead = await backend_of(engine)
        proxy.swallow()
        clock.now = 1.25
        assert await backend_of(engine) != dead


@pytest.mark.parametrize("rests", ["less than the age", "longer than the age"])
async def test_recycling_above_the_limit_leaves_the_younger_connections_to_fail(
    make_engine: MakeEngine, watcher: AsyncConnection, rests: str
) -> None:
    old_enough = rests == "longer than the age"
    engine = make_engine(
        pool_recycle=1 if old_enough else 60,
        connect_args={"server_settings": {"idle_session_timeout": "200ms"}},
    )
    before = await backend_of(engine)
    await until_ended(watcher, before)
    if old_enough:
        await asyncio.sleep(1.1)  # dead, and old enough to be renewed unseen
        assert await use(engine) == "oolong"
    else:
        with pytest.raises(InterfaceError, match="connection is closed"):
            await use(engine)


# A line that swallows everything


DROP_ALL = ctypes.create_string_buffer(struct.pack("HBBI", 0x06, 0, 0, 0))
SO_ATTACH_FILTER = 26


def drop_what_arrives(line: socket.socket) -> None:
    """Have Linux drop all that arrives on a socket, as if the cable were out."""
    program = struct.pack("HL", 1, ctypes.addressof(DROP_ALL))
    line.setsockopt(socket.SOL_SOCKET, SO_ATTACH_FILTER, program)


def can_drop() -> bool:
    """Whether this is Linux, and one that lets this user do so."""
    with socket.socket() as line:
        try:
            drop_what_arrives(line)
        except OSError:
            return False
    return sys.platform == "linux"


needs_a_dead_cable = pytest.mark.skipif(
    not can_drop(),
    reason="a dead cable takes Linux, and on this kernel root: SO_ATTACH_FILTER is refused",
)


async def hang_up(proxy: Proxy, reset: bool) -> None:
    """End what is open, as a proxy does after some idle time: by a FIN, or by an RST."""
    proxy.cut(reset=reset)
    await asyncio.sleep(0.1)  # for the client's end to arrive


def cut_cable(proxy: Proxy) -> None:
    """From now on, acknowledge nothing that arrives, as if the cable were out."""
    for client in proxy.clients:
        drop_what_arrives(client.get_extra_info("socket"))


@asynccontextmanager
async def dead_line(
    database_url: str, driver: str = "asyncpg", pooled: int = 1, **options: Any
) -> AsyncIterator[AsyncEngine]:
    """An engine whose pooled connections lead nowhere; they end with the block."""
    async with Proxy(database_url) as proxy:
        engine = engine_for(create_async_engine, proxy.url, driver, **options)
        await fill(engine, pooled)
        proxy.swallow()
        yield engine
    await engine.dispose()


def trips() -> list[tuple[str, str, int, int]]:
    """The page's table of round trips."""
    page = (DOCS / "en" / "pool" / "stale.md").read_text("utf-8")
    rows = re.findall(r"^\| (\w+) \| `([A-Z ]+)` \| (\d) \| (\d) \|$", page, re.MULTILINE)
    return [(driver, level, int(plain), int(pinged)) for driver, level, plain, pinged in rows]


def test_the_page_counts_round_trips_for_two_drivers_and_two_levels() -> None:
    assert len(trips()) == 4


@pytest.mark.parametrize(("driver", "level", "plain", "pinged"), trips())
async def test_what_a_ping_costs_in_round_trips(
    database_url: str, make_engine: MakeEngine, driver: str, level: str, plain: int, pinged: int
) -> None:
    async with Proxy(database_url) as proxy:
        for pre_ping, expected in ((False, plain), (True, pinged)):
            engine = engine_for(
                make_engine, proxy.url, driver, pool_pre_ping=pre_ping, isolation_level=level
            )
            for _ in range(3):
                proxy.turns.clear()
                await use(engine)
                counted = proxy.turns.count("client")
            assert counted == expected
            await engine.dispose()


async def test_with_command_timeout_each_pooled_connection_costs_one_timeout(
    database_url: str,
) -> None:
    limits = {"command_timeout": 1}
    async with dead_line(database_url, pooled=3, pool_pre_ping=True, connect_args=limits) as engine:
        for _ in range(3):
            with pytest.raises(TimeoutError) as caught:
                await use(engine)
            assert type(caught.value) is TimeoutError
        assert await use(engine) == "oolong"


@both_drivers
async def test_without_limits_the_ping_takes_as_long_as_one_lets_it(
    database_url: str, driver: str
) -> None:
    async with dead_line(database_url, driver, pool_pre_ping=True, pool_timeout=0.1) as engine:
        with pytest.raises(TimeoutError):
            async with asyncio.timeout(1):
                await use(engine)
        assert await use(engine) == "oolong"


async def test_statement_timeout_ends_nothing_that_does_not_arrive(database_url: str) -> None:
    settings = {"server_settings": {"statement_timeout": "1s"}}
    async with dead_line(database_url, connect_args=settings) as engine:
        with pytest.raises(TimeoutError):
            async with asyncio.timeout(2):
                await use(engine)


@pytest.mark.parametrize(("driver", "waits"), [("asyncpg", True), ("psycopg", False)])
async def test_dispose_waits_on_a_dead_line_with_asyncpg(
    database_url: str, driver: str, waits: bool
) -> None:
    async with dead_line(database_url, driver) as engine:
        disposing = asyncio.create_task(engine.dispose())
        await asyncio.wait([disposing], timeout=0.5)
        assert disposing.done() is not waits
        disposing.cancel()
        await asyncio.wait([disposing])


@cache
def listener_of_the_page() -> Callable[[Any, object], None]:
    """For a second: Linux ends a line whose data nobody acknowledges. Only Linux can load it."""
    page = load_snippet("pool/stale/user_timeout.py", changes={"10_000": "1000"})
    limit_silence: Callable[[Any, object], None] = page["limit_silence"]
    return limit_silence


@needs_a_dead_cable
@both_drivers
async def test_with_tcp_user_timeout_pre_ping_notices_a_dead_line(
    database_url: str, make_engine: MakeEngine, driver: str
) -> None:
    async with Proxy(database_url) as proxy:
        limits = {"tcp_user_timeout": 1000} if driver == "psycopg" else {}
        engine = engine_for(make_engine, proxy.url, driver, pool_pre_ping=True, connect_args=limits)
        if driver == "asyncpg":
            event.listen(engine.sync_engine, "connect", listener_of_the_page())
        await fill(engine, 3)
        cut_cable(proxy)
        async with asyncio.timeout(20):
            assert [await use(engine) for _ in range(3)] == ["oolong"] * 3
        await engine.dispose()


def watch_silence(connection: Any, _: object) -> None:
    """Have Linux end an asyncpg connection whose far end is silent for a second, at rest too."""
    listener_of_the_page()(connection, _)
    line = connection.driver_connection._transport.get_extra_info("socket")
    line.setsockopt(socket.SOL_SOCKET, socket.SO_KEEPALIVE, 1)
    for option in (socket.TCP_KEEPIDLE, socket.TCP_KEEPINTVL, socket.TCP_KEEPCNT):
        line.setsockopt(socket.IPPROTO_TCP, option, 1)


@pytest.mark.skipif(sys.platform != "linux", reason="TCP_USER_TIMEOUT is Linux's")
@both_drivers
async def test_behind_a_proxy_neither_tcp_user_timeout_nor_keep_alive_notices_a_silent_server(
    database_url: str, make_engine: MakeEngine, driver: str
) -> None:
    async with Proxy(database_url) as proxy:
        limits = {f"keepalives_{name}": 1 for name in ("idle", "interval", "count")}
        limits["tcp_user_timeout"] = 1000
        engine = engine_for(
            make_engine,
            proxy.url,
            driver,
            pool_pre_ping=True,
            connect_args=limits if driver == "psycopg" else {},
        )
        if driver == "asyncpg":
            event.listen(engine.sync_engine, "connect", watch_silence)
        await fill(engine, 1)
        proxy.swallow()
        pinging = asyncio.create_task(use(engine))
        done, _ = await asyncio.wait([pinging], timeout=4)
        assert not done
        pinging.cancel()
        await asyncio.wait([pinging])


@needs_a_dead_cable
async def test_tcp_user_timeout_does_not_notice_while_a_query_waits(
    database_url: str, make_engine: MakeEngine
) -> None:
    async with Proxy(database_url) as proxy:
        engine = engine_for(make_engine, proxy.url)
        event.listen(engine.sync_engine, "connect", listener_of_the_page())
        async with engine.connect() as connection:
            query = asyncio.create_task(connection.execute(text("SELECT pg_sleep(60)")))
            await until_asleep(database_url)
            cut_cable(proxy)
            done, _ = await asyncio.wait([query], timeout=4)
            assert not done
            query.cancel()
            await asyncio.wait([query])


async def until_asleep(database_url: str) -> None:
    """Wait until a backend of this database runs `pg_sleep`."""
    watcher = create_async_engine(database_url, poolclass=NullPool, isolation_level="AUTOCOMMIT")
    asleep = text(
        "SELECT count(*) FROM pg_stat_activity"
        " WHERE datname = current_database() AND wait_event = 'PgSleep'"
    )
    async with watcher.connect() as connection:
        await eventually("a backend runs pg_sleep", lambda: connection.scalar(asleep))


@pytest.mark.parametrize(("driver", "keeps_alive"), [("asyncpg", False), ("psycopg", True)])
async def test_only_psycopg_switches_tcp_keep_alive_on(
    database_url: str, make_engine: MakeEngine, driver: str, keeps_alive: bool
) -> None:
    engine = engine_for(make_engine, database_url, driver)
    async with engine.connect() as connection:
        raw: Any = (await connection.get_raw_connection()).driver_connection
        if driver == "asyncpg":
            number = raw._transport.get_extra_info("socket").fileno()
        else:
            number = raw.fileno()
        with socket.socket(fileno=os.dup(number)) as line:
            option = line.getsockopt(socket.SOL_SOCKET, socket.SO_KEEPALIVE)
    assert bool(option) is keeps_alive


def test_the_time_limits_that_the_drivers_come_with() -> None:
    given = signature(asyncpg.connect).parameters
    assert given["timeout"].default == 60
    assert given["command_timeout"].default is None
    assert psycopg.conninfo._DEFAULT_CONNECT_TIMEOUT == 130


ping = load_snippet("pool/stale/black_hole.py")["ping"]


@pytest.mark.parametrize("run", [asyncio.run, uvloop.run], ids=["asyncio", "uvloop"])
def test_the_ping_of_the_page_hides_a_line_that_was_cut_this_moment(
    database_url: str, run: Callable[[Coroutine[None, None, None]], None]
) -> None:
    async def cut_again_and_again() -> None:
        watcher = create_async_engine(database_url, isolation_level="AUTOCOMMIT")
        engines = [create_async_engine(database_url) for _ in range(2)]
        for engine in engines:
            event.listen(engine.sync_engine, "checkout", ping)
        async with watcher.connect() as connection:
            for attempt in range(50):
                for engine in engines:
                    await end(await backend_of(engine), connection)
                    await asyncio.sleep(attempt % 10 * 0.0001)
                    assert await use(engine) == "oolong"
        for engine in (*engines, watcher):
            await engine.dispose()

    run(cut_again_and_again())


@pytest.mark.parametrize(
    ("what", "number"),
    [
        ("a new statement", 11),
        ("a known statement", 12),
        ("several values", 13),
        ("several values, new", 11),
        ("BEGIN", 15),
        ("COMMIT", 15),
        ("ROLLBACK", 15),
    ],
)
async def test_a_line_that_was_cut_this_moment_says_cannot_switch_and_counts_as_lost(
    make_engine: MakeEngine, watcher: AsyncConnection, what: str, number: int
) -> None:
    engine = make_engine()
    pid_of = text("SELECT pg_backend_pid()")
    several = text("SELECT CAST(:value AS int)"), [{"value": 1}, {"value": 2}]
    errors: list[DBAPIError] = []
    for attempt in range(2000):
        try:
            async with engine.connect() as connection:
                pid = await connection.scalar(pid_of)
                if what == "BEGIN":
                    await connection.rollback()
                if what == "several values":
                    await connection.execute(*several)
                await end(pid or 0, watcher)
                await asyncio.sleep(attempt % 20 * 0.0001)
                if what.startswith("several"):
                    await connection.execute(*several)
                elif what == "COMMIT":
                    await connection.commit()
                elif what != "ROLLBACK":  # which the end of the block sends
                    await connection.execute(SELECT if what == "a new statement" else pid_of)
        except DBAPIError as error:
            errors.append(error)
            if isinstance(error, InternalError):
                break
    said = f"cannot switch to state {number}; another operation (2) is in progress"
    assert said in str(errors[-1])
    assert all(error.connection_invalidated for error in errors)


async def end(pid: int, watcher: AsyncConnection) -> None:
    """End a backend, and do not wait until it is gone."""
    await watcher.execute(text("SELECT pg_terminate_backend(:pid)"), {"pid": pid})


async def test_the_ping_of_the_page_hides_a_restart_and_sends_one_statement(
    make_engine: MakeEngine,
) -> None:
    with EmbeddedPostgres(log_statement="all") as server:
        engine = engine_for(make_engine, server.url())
        event.listen(engine.sync_engine, "checkout", ping)
        await fill(engine, 3)
        server.restart()
        assert [await use(engine) for _ in range(3)] == ["oolong"] * 3
        before = len(server.log())
        assert await use(engine) == "oolong"
        assert statements(server, before) == ["SELECT 1", "BEGIN;", "SELECT 'oolong'", "ROLLBACK;"]
        before = len(server.log())
        await fill(engine, 4)
        assert statements(server, before) == ["SELECT 1"] * 4  # the fourth connection is new
        await engine.dispose()


# A standby


def demote(server: EmbeddedPostgres) -> None:
    """Restart a server as a read-only standby."""
    server.stop()
    (server.home / "data" / "standby.signal").touch()
    server.start()


async def test_a_real_standby_passes_the_ping_and_refuses_writes(make_engine: MakeEngine) -> None:
    with EmbeddedPostgres() as server:
        engine = engine_for(make_engine, server.url(), pool_pre_ping=True)
        await use(engine)
        demote(server)
        async with engine.begin() as connection:
            assert await connection.scalar(text("SELECT pg_is_in_recovery()"))
        for _ in range(2):
            with pytest.raises(DBAPIError, match="in a read-only transaction") as caught:
                async with engine.begin() as connection:
                    await connection.execute(text("CREATE TABLE orders (drink text)"))
            assert getattr(caught.value.orig, "sqlstate", None) == "25006"
            assert not caught.value.connection_invalidated
        await engine.dispose()


def renew_if_read_only(context: ExceptionContext) -> None:
    """The listener of the page, whose line it holds."""
    if getattr(context.original_exception, "sqlstate", None) == "25006":
        context.is_disconnect = True


@pytest.mark.parametrize("language", LANGUAGES)
def test_the_listener_tested_here_is_the_one_on_the_page(language: str) -> None:
    *_, condition, then = getsource(renew_if_read_only).splitlines()
    page = (DOCS / language / "pool" / "stale.md").read_text("utf-8")
    assert f"{condition.strip()} {then.strip()}" in page


@both_drivers
async def test_a_listener_declares_a_read_only_server_a_lost_connection(
    make_engine: MakeEngine, driver: str
) -> None:
    insert = text("CREATE TABLE orders (drink text)")
    with EmbeddedPostgres() as server:
        demote(server)
        engine = engine_for(make_engine, server.url(), driver, pool_pre_ping=True)
        await fill(engine, 2)
        event.listen(engine.sync_engine, "handle_error", renew_if_read_only)
        watcher = create_async_engine(server.url(), poolclass=NullPool)
        before = await backend_of(engine)
        with pytest.raises(DBAPIError, match="in a read-only transaction") as caught:
            async with engine.begin() as connection:
                await connection.execute(insert)
        assert caught.value.connection_invalidated
        async with watcher.connect() as connection:
            await connection.execute(text("SELECT pg_promote()"))  # the address leads to a primary
        for _ in range(2):
            assert await backend_of(engine) != before
        async with engine.begin() as connection:
            await connection.execute(insert)
        await engine.dispose()


@both_drivers
async def test_target_session_attrs_refuses_a_standby_and_finds_the_primary(
    make_engine: MakeEngine, driver: str
) -> None:
    wanted = {"target_session_attrs": "read-write"}
    with EmbeddedPostgres() as old, EmbeddedPostgres() as new:
        for server in (old, new):
            await ask(server.url(), "ALTER ROLE postgres PASSWORD 'tea'")
        demote(old)
        url = make_url(old.url()).set(password="tea").render_as_string(hide_password=False)
        engine = engine_for(make_engine, url, driver, connect_args=wanted)
        with pytest.raises(Exception, match=r"None of the hosts match|session is read-only"):
            await use(engine)
        hosts = "&".join(f"host=127.0.0.1:{server.port}" for server in (old, new))
        both = f"postgresql+asyncpg://postgres:tea@/postgres?{hosts}"
        engine = engine_for(make_engine, both, driver, connect_args=wanted)
        async with engine.begin() as connection:
            await connection.execute(text("CREATE TABLE orders (drink text)"))
        await engine.dispose()


# Idle connections


@pytest.mark.parametrize(
    ("lifo", "order", "alive"), [(False, "ABCDEABCDEAB", 5), (True, "AAAAAAAAAAAA", 1)]
)
async def test_with_lifo_the_server_ends_what_idles(
    make_engine: MakeEngine, watcher: AsyncConnection, lifo: bool, order: str, alive: int
) -> None:
    engine = make_engine(
        pool_use_lifo=lifo,
        pool_pre_ping=True,
        connect_args={"server_settings": {"idle_session_timeout": "3s"}},
    )
    await fill(engine, 5)
    letters: dict[int, str] = {}
    used = ""
    async with asyncio.timeout(30):
        while len(used) < 80 or await watcher.scalar(OTHERS) != alive:
            pid = await backend_of(engine)
            used += letters.setdefault(pid, ascii_uppercase[len(letters) % 26])
            await asyncio.sleep(0.05)
    assert used[:12] == order
