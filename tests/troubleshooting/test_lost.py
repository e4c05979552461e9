"""What the page on lost connections says beyond what its snippets print."""

import asyncio
import os
import select
import shutil
import signal
import socket
import ssl
import struct
import sys
import traceback
from collections.abc import AsyncIterable, AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager, suppress
from pathlib import Path
from typing import Any

import asyncpg  # type: ignore[import-untyped]
import psycopg
import pytest
from sqlalchemy import (
    NullPool,
    bindparam,
    create_engine,
    delete,
    event,
    exc,
    insert,
    make_url,
    text,
    update,
)
from sqlalchemy import (
    select as query_of,
)
from sqlalchemy.ext.asyncio import (
    AsyncConnection,
    AsyncEngine,
    AsyncSession,
    create_async_engine,
)
from sqlalchemy.ext.asyncio.exc import AsyncMethodRequired
from sqlalchemy.orm import DeclarativeBase, Mapped, mapped_column

from tests.asking import end_backend, until_ended
from tests.logins import SSL_REQUEST
from tests.pools import MakeEngine, both_drivers, checked_out, engine_for, leaves_open, with_psycopg
from tests.waiting import eventually, wait_until
from tools.paths import DOCS, LANGUAGES
from tools.postgres import EmbeddedPostgres, Proxy, dsn_of

PAGES = [(DOCS / language / "troubleshooting/lost.md").read_text("utf-8") for language in LANGUAGES]
REFUSALS = exc.DBAPIError, asyncpg.PostgresError
OOLONG = text("SELECT 'oolong'")
PID = text("SELECT pg_backend_pid()")
NAP = text("SELECT pg_sleep(60)")
ASKS_FOR_TLS = struct.pack("!ii", 8, SSL_REQUEST)
LIMITS = "idle_in_transaction_session_timeout", "transaction_timeout", "idle_session_timeout"


class Base(DeclarativeBase):
    pass


class Guest(Base):
    __tablename__ = "guests"
    id: Mapped[int] = mapped_column(primary_key=True)


def assert_on_both(*texts: str) -> None:
    missing = [words for words in texts for page in PAGES if words not in page]
    assert not missing


async def end(connection: AsyncConnection, watcher: AsyncConnection) -> None:
    """The server ends the connection, and its backend has gone when this returns."""
    pid = await connection.scalar(PID)
    await end_backend(watcher, pid)


async def noticed(connection: AsyncConnection) -> None:
    """Until asyncpg has heard that the line has ended."""
    raw: Any = (await connection.get_raw_connection()).driver_connection
    await eventually("asyncpg has noticed", raw.is_closed)


@pytest.mark.parametrize("settings", [{}, {"isolation_level": "AUTOCOMMIT"}])
async def test_a_known_statement_names_the_underlying_connection(
    make_engine: MakeEngine, watcher: AsyncConnection, settings: dict[str, str]
) -> None:
    async with make_engine(**settings).connect() as connection:
        await connection.execute(PID)
        await end(connection, watcher)
        await noticed(connection)
        with pytest.raises(exc.InterfaceError) as caught:
            await connection.execute(PID)
    words = "cannot call PreparedStatement.fetch(): the underlying connection is closed"
    assert words in str(caught.value)
    assert caught.value.connection_invalidated
    assert_on_both(f"`{words}`")


async def test_psycopg_says_so_when_our_code_closed_it(
    make_engine: MakeEngine, database_url: str
) -> None:
    async with make_engine(with_psycopg(database_url)).connect() as connection:
        raw: Any = (await connection.get_raw_connection()).driver_connection
        await raw.close()
        with pytest.raises(exc.OperationalError, match=r"\) the connection is closed"):
            await connection.execute(OOLONG)


async def test_psycopg_says_so_too_when_another_task_on_the_session_timed_out(
    make_engine: MakeEngine, database_url: str
) -> None:
    engine = make_engine(with_psycopg(database_url))
    async with AsyncSession(engine) as session:
        await session.execute(OOLONG)
        nap = asyncio.create_task(session.execute(NAP))
        await napping_at(make_engine())
        waiting = asyncio.create_task(session.execute(OOLONG))
        await asyncio.sleep(0)
        nap.cancel()
        words = r"\) the connection is closed"
        with pytest.raises(exc.OperationalError, match=words) as caught:
            await waiting
    assert not caught.value.connection_invalidated


async def test_in_autocommit_what_ran_before_the_cut_is_saved(make_engine: MakeEngine) -> None:
    engine = make_engine(isolation_level="AUTOCOMMIT")
    for statement in "CREATE TABLE menu AS SELECT 'oolong'", "SELECT pg_backend_pid()":
        async with engine.connect() as connection:
            await connection.execute(text(statement))
            with pytest.raises(exc.DBAPIError):
                await connection.execute(text("SELECT pg_terminate_backend(pg_backend_pid())"))
    async with engine.connect() as connection:
        assert await connection.scalar(text("SELECT count(*) FROM menu")) == 1


async def run_out_of(limit: str, connection: AsyncConnection, watcher: AsyncConnection) -> None:
    """The limit ends the connection, and its backend has gone when this returns."""
    pid = await connection.scalar(PID)
    await connection.execute(text(f"SET {limit} = '50ms'"))
    if limit == "idle_session_timeout":
        await connection.commit()
    await until_ended(watcher, pid)


async def test_psycopg_has_the_codes_of_the_page(make_engine: MakeEngine) -> None:
    found = {}
    with EmbeddedPostgres(18) as server:
        watching = make_engine(server.url(), isolation_level="AUTOCOMMIT")
        engine = make_engine(with_psycopg(server.url()))
        async with watching.connect() as watcher:
            for limit in (*LIMITS, ""):
                async with engine.connect() as connection:
                    if limit:
                        await run_out_of(limit, connection, watcher)
                    else:
                        await end(connection, watcher)
                    with pytest.raises(exc.DBAPIError) as caught:
                        await connection.execute(OOLONG)
                assert caught.value.connection_invalidated
                found[getattr(caught.value.orig, "sqlstate", "")] = type(caught.value)
    assert found == {
        "25P03": exc.InternalError,
        "25P04": exc.InternalError,
        "57P05": exc.OperationalError,
        "57P01": exc.OperationalError,
    }
    assert_on_both(*(f"`{code}`" for code in found))


async def test_dropping_a_database_by_force_is_an_administrator_s_command(
    make_engine: MakeEngine,
) -> None:
    with EmbeddedPostgres(18) as server:
        options: dict[str, Any] = {"poolclass": NullPool, "isolation_level": "AUTOCOMMIT"}
        watching = make_engine(server.url(), **options)
        async with watching.connect() as watcher:
            await watcher.execute(text("CREATE DATABASE guide_tea"))
            engine = make_engine(with_psycopg(server.url("guide_tea")))
            async with engine.connect() as connection:
                await connection.execute(OOLONG)
                await watcher.execute(text("DROP DATABASE guide_tea WITH (FORCE)"))
                with pytest.raises(exc.OperationalError, match="due to administrator command"):
                    await connection.execute(OOLONG)


async def test_a_killed_backend_leaves_no_word_but_in_the_log(make_engine: MakeEngine) -> None:
    with EmbeddedPostgres(18) as server:
        for url, words in (
            (server.url(), "connection was closed in the middle of operation"),
            (
                with_psycopg(server.url()),
                "consuming input failed: server closed the connection unexpectedly",
            ),
        ):
            engine = make_engine(url, poolclass=NullPool)
            async with engine.connect() as connection, engine.connect() as other:
                pid = await connection.scalar(PID)
                assert pid
                naps = [asyncio.create_task(each.execute(NAP)) for each in (connection, other)]
                await napping_at(make_engine(server.url()), len(naps))
                os.kill(pid, signal.SIGKILL)
                for napping in naps:  # PostgreSQL ends the other one too
                    with pytest.raises(exc.DBAPIError, match=words) as caught:
                        await napping
                    assert caught.value.connection_invalidated
            await back(engine)
        assert "was terminated by signal 9" in "\n".join(server.log())


@pytest.mark.parametrize("driver", ["asyncpg", "psycopg"])
async def test_after_a_crash_new_connections_read_in_recovery_mode_for_a_while(
    make_engine: MakeEngine, driver: str
) -> None:
    with EmbeddedPostgres(18) as server:
        engine = engine_for(make_engine, server.url(), driver, poolclass=NullPool)
        async with engine.connect() as crashing, engine.connect() as holding_up:
            dies, stops = await crashing.scalar(PID), await holding_up.scalar(PID)
            assert dies
            assert stops
            os.kill(stops, signal.SIGSTOP)  # PostgreSQL waits for it, some seconds at most
            os.kill(dies, signal.SIGKILL)
            seen = list[BaseException]()

            async def refused() -> bool:
                try:
                    async with engine.connect():
                        return False
                except Exception as error:
                    seen.append(error)
                    return "the database system is in recovery mode" in str(error)

            await eventually("it is in recovery mode", refused)
            with suppress(ProcessLookupError):
                os.kill(stops, signal.SIGCONT)
            await crashing.invalidate()
            await holding_up.invalidate()
        original = getattr(seen[-1], "orig", seen[-1])
        assert driver == "psycopg" or getattr(original, "sqlstate", None) == "57P03"
        await back(engine)
        assert "was terminated by signal 9" in "\n".join(server.log())


async def napping_at(watching: AsyncEngine, naps: int = 1) -> None:
    """Until the server is busy with the naps."""
    busy = text("SELECT count(*) = :naps FROM pg_stat_activity WHERE wait_event = 'PgSleep'")
    async with watching.connect() as watcher:
        await eventually("it naps", lambda: watcher.scalar(busy, {"naps": naps}))


async def back(engine: AsyncEngine) -> None:
    """Until the server has recovered from the crash."""

    async def connects() -> bool:
        try:
            async with engine.connect():
                return True
        except Exception:
            return False

    await eventually("the server is back", connects)


Admit = Callable[[asyncio.StreamReader, asyncio.StreamWriter], Awaitable[None]]


@asynccontextmanager
async def port(admit: Admit) -> AsyncIterator[int]:
    """A port whose clients are admitted so."""
    async with await asyncio.start_server(admit, "127.0.0.1", 0) as listener:
        yield listener.sockets[0].getsockname()[1]


async def hang_up(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    await reader.read(8)
    writer.close()


async def reset(_: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    writer.transport.abort()  # what has arrived is not read, hence the reset


@pytest.mark.parametrize(
    ("admit", "kind", "words"),
    [
        (hang_up, ConnectionError, "unexpected connection_lost() call"),
        (reset, ConnectionResetError, "Connection reset by peer"),
    ],
)
async def test_while_connecting_asyncpg_speaks_in_python_s_own_exceptions(
    make_engine: MakeEngine, database_url: str, admit: Admit, kind: type[Exception], words: str
) -> None:
    async with port(admit) as number:
        engine = make_engine(make_url(database_url).set(host="127.0.0.1", port=number))
        with pytest.raises(kind) as caught:
            async with engine.connect():
                pass
    assert type(caught.value) is kind
    assert words in str(caught.value)


@pytest.mark.parametrize(
    ("driver", "word"), [("asyncpg", {"ssl": "disable"}), ("psycopg", {"sslmode": "disable"})]
)
async def test_what_cuts_off_the_question_for_tls_lets_in_who_does_not_ask(
    make_engine: MakeEngine, database_url: str, driver: str, word: dict[str, str]
) -> None:
    def cut_off(_: object, data: bytes) -> bytes:
        if data == ASKS_FOR_TLS:
            proxy.cut(reset=True)
        return data

    async with Proxy(database_url) as proxy:
        proxy.edit = cut_off
        with pytest.raises((ConnectionResetError, exc.OperationalError)):
            await engine_for(make_engine, proxy.url, driver).connect()
        quiet = engine_for(make_engine, proxy.url.update_query_dict(word), driver)
        async with quiet.connect() as connection:
            assert await connection.scalar(text("SELECT 'longjing'")) == "longjing"


async def test_what_declines_tls_and_then_closes_is_closed_in_the_middle(
    make_engine: MakeEngine, database_url: str
) -> None:
    async def decline(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await reader.read(8)  # SSLRequest
        writer.write(b"N")
        await reader.read(1)
        writer.close()

    async with port(decline) as number:
        engine = make_engine(make_url(database_url).set(host="127.0.0.1", port=number))
        with pytest.raises(REFUSALS, match="connection was closed in the middle of operation"):
            await engine.connect()


async def test_inside_a_savepoint_the_text_names_it(
    make_engine: MakeEngine, watcher: AsyncConnection
) -> None:
    async with make_engine().connect() as connection:
        await connection.execute(OOLONG)
        nested = await connection.begin_nested()
        await end(connection, watcher)
        with pytest.raises(exc.DBAPIError):
            await connection.execute(OOLONG)
        with pytest.raises(exc.PendingRollbackError) as caught:
            await connection.execute(OOLONG)
        assert not nested.is_valid
        await connection.rollback()
    words = "Can't reconnect until invalid savepoint transaction is rolled back"
    assert words in str(caught.value)
    assert_on_both(f"`{words}`")


async def test_a_session_in_autocommit_wants_a_rollback_too(
    make_engine: MakeEngine, watcher: AsyncConnection
) -> None:
    async with AsyncSession(make_engine(isolation_level="AUTOCOMMIT")) as session:
        await end(await session.connection(), watcher)
        with pytest.raises(exc.DBAPIError):
            await session.execute(OOLONG)
        with pytest.raises(exc.PendingRollbackError, match="Can't reconnect until invalid"):
            await session.execute(OOLONG)
        await session.rollback()
        await session.execute(OOLONG)


async def test_a_transaction_ended_twice_is_closed(make_engine: MakeEngine) -> None:
    async with AsyncSession(make_engine()) as session:
        transaction = await session.begin()
        await session.commit()
        with pytest.raises(exc.ResourceClosedError, match="This transaction is closed"):
            await transaction.commit()


async def test_a_listener_that_refuses_new_connections_too_makes_the_pool_give_up(
    make_engine: MakeEngine,
) -> None:
    engine = make_engine()

    @event.listens_for(engine.sync_engine, "checkout")
    def refuse(*_: object) -> None:
        raise exc.DisconnectionError

    with pytest.raises(exc.InvalidRequestError, match="This connection is closed"):
        async with engine.connect():
            pass
    assert checked_out(engine) == 0


@both_drivers
async def test_a_stream_ends_with_its_session(
    make_engine: MakeEngine, database_url: str, driver: str
) -> None:
    words = {
        "asyncpg": "cursor cannot be created outside of a transaction",
        "psycopg": "does not exist",
    }
    many = text("SELECT generate_series(1, 5000)")
    async with AsyncSession(engine_for(make_engine, database_url, driver)) as session:
        kept = await session.execute(many)
        await session.close()
        assert len(kept.all()) == 5000
        stream = await session.stream(many)
        await session.close()
        with pytest.raises(REFUSALS, match=words[driver]):
            await stream.all()
        stream = await session.stream(many)
        with pytest.raises(REFUSALS, match=words[driver]):
            await commit_in_between(stream, session)


@both_drivers
@pytest.mark.parametrize("portions", [False, True])
async def test_a_query_of_orm_classes_fetches_all_rows_unless_it_is_asked_for_portions(
    make_engine: MakeEngine, database_url: str, driver: str, portions: bool
) -> None:
    options = {"yield_per": 10} if portions else {}
    engine = engine_for(make_engine, database_url, driver)
    async with engine.begin() as connection:
        await connection.run_sync(Guest.metadata.create_all)
        await connection.execute(insert(Guest), [{"id": number} for number in range(500)])
    for query in query_of(Guest), query_of(Guest.id):
        async with AsyncSession(engine) as session:
            stream = await session.stream(query, execution_options=options)
            if portions:
                with pytest.raises(REFUSALS):
                    await commit_in_between(stream, session)
            else:
                await commit_in_between(stream, session)
        async with AsyncSession(engine) as session:
            stream = await session.stream(query, execution_options=options)
            with pytest.raises(REFUSALS):
                await commit_in_between(stream.partitions(10), session)


@both_drivers
async def test_rowcount_is_of_update_and_delete(
    make_engine: MakeEngine, database_url: str, driver: str
) -> None:
    async with engine_for(make_engine, database_url, driver).connect() as connection:
        await connection.run_sync(Guest.metadata.create_all)
        inserted = await connection.execute(insert(Guest).values(id=1))
        assert inserted.rowcount == (-1 if driver == "psycopg" else 1)
        assert (await connection.execute(update(Guest).values(id=2))).rowcount == 1
        rename = update(Guest).where(Guest.id == bindparam("old")).values(id=bindparam("new"))
        renamed = await connection.execute(rename, [{"old": 2, "new": 3}, {"old": 3, "new": 4}])
        assert renamed.rowcount == (-1 if driver == "asyncpg" else 2)
        assert (await connection.execute(delete(Guest))).rowcount == 1


@both_drivers
async def test_a_stream_needs_a_transaction_and_autocommit_has_none(
    make_engine: MakeEngine, database_url: str, driver: str
) -> None:
    words = {
        "asyncpg": "cursor cannot be created outside of a transaction",
        "psycopg": "DECLARE CURSOR can only be used in transaction blocks",
    }
    two = text("SELECT generate_series(1, 2)")
    engine = engine_for(make_engine, database_url, driver, isolation_level="AUTOCOMMIT")
    for begun in engine.connect, engine.begin:
        async with begun() as connection:
            with pytest.raises(REFUSALS, match=words[driver]):
                await connection.stream(two)
    async with AsyncSession(engine) as session:
        with pytest.raises(REFUSALS, match=words[driver]):
            await session.stream(two)
        await session.rollback()
        await session.connection(execution_options={"isolation_level": "READ COMMITTED"})
        assert [row async for row in await session.stream_scalars(two)] == [1, 2]
        await session.rollback()
        assert (await session.scalars(two)).all() == [1, 2]
        for cursor in {"yield_per": 10}, {"stream_results": True}:
            with pytest.raises(REFUSALS, match=words[driver]):
                await session.execute(two, execution_options=cursor)


@pytest.mark.parametrize("cursor", [{"yield_per": 10}, {"stream_results": True}])
async def test_execute_takes_no_cursor_of_the_server(
    make_engine: MakeEngine, cursor: dict[str, Any]
) -> None:
    async with AsyncSession(make_engine()) as session:
        with pytest.raises(
            AsyncMethodRequired,
            match=r"Can't use the AsyncSession.execute\(\) method with a server-side cursor",
        ):
            await session.execute(OOLONG, execution_options=cursor)


async def commit_in_between(stream: AsyncIterable[object], session: AsyncSession) -> None:
    async for _ in stream:
        await session.commit()


def test_idle_connections_are_lent_in_turn_or_the_last_one_again(database_url: str) -> None:
    async def lent(lifo: bool) -> list[int]:
        engine = create_async_engine(database_url, pool_size=3, pool_use_lifo=lifo)
        async with engine.connect(), engine.connect(), engine.connect():
            pass
        pids = []
        for _ in range(6):  # as a task does that asks once a minute
            async with engine.connect() as connection:
                pids.append(int(await connection.scalar(PID) or 0))
        await engine.dispose()
        return pids

    turns = asyncio.run(lent(lifo=False))
    assert turns[:3] == turns[3:]
    assert len(set(turns)) == 3
    assert len(set(asyncio.run(lent(lifo=True)))) == 1


async def test_a_blocked_event_loop_runs_into_the_limit_too(
    make_engine: MakeEngine, database_url: str
) -> None:
    other = create_engine(with_psycopg(database_url), isolation_level="AUTOCOMMIT")
    alive = text("SELECT count(*) FROM pg_stat_activity WHERE pid = :pid")
    async with make_engine().connect() as connection:
        pid = await connection.scalar(PID)
        await connection.execute(text("SET idle_in_transaction_session_timeout = '50ms'"))
        with other.connect() as watcher:  # no `await` until the backend has gone
            wait_until("it has gone", lambda: not watcher.scalar(alive, {"pid": pid}))
        with pytest.raises(exc.DBAPIError, match="idle-in-transaction timeout"):
            await connection.execute(OOLONG)
    other.dispose()


@pytest.mark.parametrize("value", ["0", "'5min'"])
async def test_set_local_takes_the_transaction_timeout_off_and_does_not_lengthen_it(
    make_engine: MakeEngine, value: str
) -> None:
    with EmbeddedPostgres(18, transaction_timeout="1s") as server:
        async with make_engine(server.url()).connect() as connection:
            await connection.execute(text(f"SET LOCAL transaction_timeout = {value}"))
            sleeping = connection.execute(text("SELECT pg_sleep(1.5)"))
            if value == "0":
                await sleeping
            else:
                with pytest.raises(exc.DBAPIError, match="due to transaction timeout"):
                    await sleeping


@both_drivers
async def test_a_try_around_the_rollback_hides_the_loss(
    make_engine: MakeEngine, database_url: str, watcher: AsyncConnection, driver: str
) -> None:
    engine = engine_for(make_engine, database_url, driver)
    await watcher.execute(text("CREATE TABLE orders (tea text)"))
    async with AsyncSession(engine) as session:
        await session.execute(text("INSERT INTO orders VALUES ('oolong')"))
        connection = await session.connection()
        await end(connection, watcher)
        if driver == "asyncpg":
            await noticed(connection)
        with pytest.raises(exc.DBAPIError):
            await session.rollback()
    assert await watcher.scalar(text("SELECT count(*) FROM orders")) == 0


async def test_a_transaction_that_was_left_open_swallows_what_autocommit_writes(
    make_engine: MakeEngine, watcher: AsyncConnection
) -> None:
    await watcher.execute(text("CREATE TABLE orders (tea text)"))
    engine = make_engine(pool_size=1, max_overflow=0)
    async with engine.connect() as connection:
        raw: Any = (await connection.get_raw_connection()).driver_connection
        await raw.execute("BEGIN")
    with pytest.raises(exc.InterfaceError, match="in a manually started transaction"):
        async with engine.begin() as connection:
            await connection.execute(OOLONG)
    autocommit = engine.execution_options(isolation_level="AUTOCOMMIT")
    async with autocommit.connect() as connection:
        await connection.execute(text("INSERT INTO orders VALUES ('oolong')"))
    await engine.dispose()
    assert await watcher.scalar(text("SELECT count(*) FROM orders")) == 0


async def test_a_second_all_is_empty(make_engine: MakeEngine) -> None:
    async with make_engine().connect() as connection:
        result = await connection.execute(text("SELECT generate_series(1, 3)"))
        assert (len(result.all()), result.all()) == (3, [])


LEAVES = """
import asyncio, asyncpg, os, sys

async def main():
    connection = await asyncpg.connect(sys.argv[1])
    await connection.execute(sys.argv[2])
    os._exit(0)

asyncio.run(main())
"""


@pytest.mark.parametrize(("statement", "logs"), [("BEGIN", True), ("SELECT 1", False)])
async def test_a_program_that_ends_without_closing_leaves_a_line_if_it_was_in_a_transaction(
    make_engine: MakeEngine, statement: str, logs: bool
) -> None:
    words = "unexpected EOF on client connection with an open transaction"
    with EmbeddedPostgres(18) as server:
        url = dsn_of(server.url())
        program = (sys.executable, "-c", LEAVES, url, statement)
        assert await (await asyncio.create_subprocess_exec(*program)).wait() == 0
        alone = text("SELECT count(*) = 1 FROM pg_stat_activity WHERE backend_type ~ 'client'")
        async with make_engine(server.url(), isolation_level="AUTOCOMMIT").connect() as watcher:
            await eventually("its backend has gone", lambda: watcher.scalar(alone))
        assert any(words in line for line in server.log()) is logs
        assert not any("Connection reset by peer" in line for line in server.log())
    assert_on_both(f"`{words}`")


async def test_a_reset_stands_first_in_the_traceback_and_in_the_log_of_the_server(
    make_engine: MakeEngine,
) -> None:
    lines: list[asyncio.StreamWriter] = []

    async def forward(source: asyncio.StreamReader, target: asyncio.StreamWriter) -> None:
        with suppress(OSError):
            while data := await source.read(65536):
                target.write(data)

    with EmbeddedPostgres(18) as server:

        async def proxy(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
            back, far = await asyncio.open_connection("127.0.0.1", server.port)
            lines.extend([writer, far])
            await asyncio.gather(forward(reader, far), forward(back, writer))

        async with port(proxy) as number:
            engine = make_engine(make_url(server.url()).set(port=number))
            async with engine.connect() as connection:
                async with engine.connect() as idle:  # whose backend hears of it at once
                    await idle.execute(OOLONG)
                napping = asyncio.create_task(connection.execute(NAP))
                await napping_at(make_engine(server.url()))
                for line in lines:
                    without_waiting = struct.pack("ii", 1, 0)
                    line.get_extra_info("socket").setsockopt(
                        socket.SOL_SOCKET, socket.SO_LINGER, without_waiting
                    )
                    line.transport.abort()
                with pytest.raises(exc.DBAPIError, match="in the middle of operation") as caught:
                    await napping
        said = [line for line in traceback.format_exception(caught.value) if "Error" in line]
        assert "ConnectionResetError: [Errno 104] Connection reset by peer" in said[0]
        words = "could not receive data from client: Connection reset by peer"
        await eventually("the server says so", lambda: words in "\n".join(server.log()))
    assert_on_both(f"`{words}`")


# TLS

FORKED = """
import asyncio, os, signal, sys
from sqlalchemy import text
from sqlalchemy.ext.asyncio import create_async_engine

url, way = sys.argv[1:]
engine = create_async_engine(url)
kept = [engine.pool]

async def pid():
    async with engine.connect() as connection:
        return await connection.scalar(text("SELECT pg_backend_pid()"))

async def main():
    await pid()
    child = os.fork()
    if not child:
        signal.alarm(20)
        try:
            asyncio.run(engine.dispose() if way == "dispose" else pid())
        finally:
            os._exit(0)
    os.waitpid(child, 0)
    try:
        await pid()
    except Exception as error:
        print(error.orig)
    else:
        print("fine")
    sys.stdout.flush()
    os._exit(0)

asyncio.run(main())
"""


@asynccontextmanager
async def with_tls(database_url: str, folder: Path) -> AsyncIterator[str]:
    """The same database through a proxy that speaks TLS, for psycopg."""
    making = await asyncio.create_subprocess_exec(
        *("openssl", "req", "-new", "-x509", "-nodes", "-subj", "/CN=localhost"),
        *("-keyout", folder / "key", "-out", folder / "certificate"),
        stderr=asyncio.subprocess.DEVNULL,
    )
    assert await making.wait() == 0
    context = ssl.create_default_context(ssl.Purpose.CLIENT_AUTH)
    context.load_cert_chain(folder / "certificate", folder / "key")
    url = with_psycopg(database_url)
    with socket.create_server(("127.0.0.1", 0)) as listener:
        listener.settimeout(30)
        server = (url.host or "127.0.0.1", url.port or 5432)
        serving = asyncio.create_task(asyncio.to_thread(serve_one, listener, context, server))
        through = url.set(host="127.0.0.1", port=listener.getsockname()[1])
        through = through.update_query_dict({"sslmode": "require", "gssencmode": "disable"})
        yield through.render_as_string(hide_password=False)
        await serving


def serve_one(listener: socket.socket, context: ssl.SSLContext, address: tuple[str, int]) -> None:
    """One client of a TLS proxy; not asyncio's, which ends a line without TLS's last word."""
    line, _ = listener.accept()
    line.recv(8)  # SSLRequest
    line.sendall(b"S")
    with (
        suppress(OSError),  # SSLError is one
        context.wrap_socket(line, server_side=True) as client,
        socket.create_connection(address) as server,
    ):
        other = {client: server, server: client}
        while True:
            for source in select.select([client, server], [], [], 30)[0]:
                data = source.recv(65536)
                while source is client and client.pending():
                    data += client.recv(65536)
                if not data:
                    client.settimeout(5)
                    client.unwrap()  # TLS's last word
                    return
                other[source].sendall(data)


@leaves_open
@pytest.mark.skipif(not shutil.which("openssl"), reason="it makes the certificate")
@pytest.mark.parametrize(
    ("way", "words"),
    [
        ("query", "SSL error: decryption failed or bad record mac"),
        ("dispose", "SSL connection has been closed unexpectedly"),
    ],
)
async def test_over_tls_a_forked_child_breaks_the_line_of_its_parent(
    database_url: str, tmp_path: Path, way: str, words: str
) -> None:
    async with with_tls(database_url, tmp_path) as url:
        program = await asyncio.create_subprocess_exec(
            *(sys.executable, "-W", "ignore", "-c", FORKED, url, way),
            stdout=asyncio.subprocess.PIPE,
        )
        printed, _ = await program.communicate()
    assert words in printed.decode()
    assert_on_both(words)


@leaves_open
async def test_without_tls_a_forked_child_may_go_unnoticed(database_url: str) -> None:
    url = with_psycopg(database_url).render_as_string(hide_password=False)
    program = await asyncio.create_subprocess_exec(
        *(sys.executable, "-W", "ignore", "-c", FORKED, url, "query"),
        stdout=asyncio.subprocess.PIPE,
    )
    printed, _ = await program.communicate()
    assert printed.decode().strip() == "fine"


async def test_psycopg_alone_is_closed_after_its_block(database_url: str) -> None:
    async def returned() -> psycopg.AsyncConnection[Any]:
        async with await psycopg.AsyncConnection.connect(dsn_of(database_url)) as connection:
            return connection

    with pytest.raises(psycopg.OperationalError, match=r"^the connection is closed$"):
        await (await returned()).execute("SELECT 'oolong'")


async def test_psycopg_alone_stays_closed_after_the_cut(
    database_url: str, watcher: AsyncConnection
) -> None:
    url = with_psycopg(database_url).set(drivername="postgresql")
    connection = await psycopg.AsyncConnection.connect(
        url.render_as_string(hide_password=False), autocommit=True
    )
    pid = connection.info.backend_pid
    await watcher.execute(text("SELECT pg_terminate_backend(:pid, 10000)"), {"pid": pid})
    for words in "due to administrator command", *["^the connection is closed$"] * 2:
        with pytest.raises(psycopg.OperationalError, match=words):
            await connection.execute("SELECT 'oolong'")
    await connection.close()
