"""What the page on lost connections says beyond what its snippets print."""

import asyncio
import os
import select
import shutil
import signal
import socket
import ssl
import sys
from collections.abc import AsyncIterable, AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager, suppress
from pathlib import Path
from typing import Any

import asyncpg  # type: ignore[import-untyped]
import pytest
from sqlalchemy import NullPool, event, exc, make_url, text
from sqlalchemy.ext.asyncio import AsyncConnection, AsyncEngine, AsyncSession

from tests.pools import MakeEngine, checked_out, leaves_open, with_psycopg
from tests.waiting import eventually
from tools.paths import DOCS, LANGUAGES
from tools.postgres import EmbeddedPostgres

PAGES = [(DOCS / language / "troubleshooting/lost.md").read_text("utf-8") for language in LANGUAGES]
REFUSALS = exc.DBAPIError, asyncpg.PostgresError
OOLONG = text("SELECT 'oolong'")
PID = text("SELECT pg_backend_pid()")
NAP = text("SELECT pg_sleep(60)")
LIMITS = "idle_in_transaction_session_timeout", "transaction_timeout", "idle_session_timeout"


def assert_on_both(*texts: str) -> None:
    missing = [words for words in texts for page in PAGES if words not in page]
    assert not missing


async def end(connection: AsyncConnection, watcher: AsyncConnection) -> None:
    """The server ends the connection, and its backend has gone when this returns."""
    pid = await connection.scalar(PID)
    await watcher.execute(text("SELECT pg_terminate_backend(:pid, 10000)"), {"pid": pid})


async def noticed(connection: AsyncConnection) -> None:
    """Until asyncpg has heard that the line has ended."""
    raw: Any = (await connection.get_raw_connection()).driver_connection
    await eventually("asyncpg has noticed", raw.is_closed)


async def test_a_known_statement_names_the_underlying_connection(
    make_engine: MakeEngine, watcher: AsyncConnection
) -> None:
    async with make_engine().connect() as connection:
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


async def run_out_of(limit: str, connection: AsyncConnection, watcher: AsyncConnection) -> None:
    """The limit ends the connection, and its backend has gone when this returns."""
    pid = await connection.scalar(PID)
    await connection.execute(text(f"SET {limit} = '50ms'"))
    if limit == "idle_session_timeout":
        await connection.commit()
    gone = text("SELECT count(*) = 0 FROM pg_stat_activity WHERE pid = :pid")
    await eventually(f"{limit} has ended it", lambda: watcher.scalar(gone, {"pid": pid}))


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
            (with_psycopg(server.url()), "server closed the connection unexpectedly"),
        ):
            engine = make_engine(url, poolclass=NullPool)
            async with engine.connect() as connection:
                pid = await connection.scalar(PID)
                assert pid
                napping = asyncio.create_task(connection.execute(NAP))
                await napping_at(make_engine(server.url()))
                os.kill(pid, signal.SIGKILL)
                with pytest.raises(exc.DBAPIError, match=words):
                    await napping
            await back(engine)
        assert "was terminated by signal 9" in "\n".join(server.log())


async def napping_at(watching: AsyncEngine) -> None:
    """Until the server is busy with the nap."""
    busy = text("SELECT count(*) FROM pg_stat_activity WHERE wait_event = 'PgSleep'")
    async with watching.connect() as watcher:
        await eventually("it naps", lambda: watcher.scalar(busy))


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


@pytest.mark.parametrize("driver", ["asyncpg", "psycopg"])
async def test_a_stream_ends_with_its_session(
    make_engine: MakeEngine, database_url: str, driver: str
) -> None:
    url = make_url(database_url).set(drivername=f"postgresql+{driver}")
    words = {
        "asyncpg": "cursor cannot be created outside of a transaction",
        "psycopg": "does not exist",
    }
    many = text("SELECT generate_series(1, 5000)")
    async with AsyncSession(make_engine(url)) as session:
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


async def commit_in_between(stream: AsyncIterable[object], session: AsyncSession) -> None:
    async for _ in stream:
        await session.commit()


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
