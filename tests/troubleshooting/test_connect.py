"""What the page on errors before the first statement says beyond what its snippets print."""

import asyncio
import ctypes
import errno
import os
import signal
import socket
import struct
import sys
import time
import traceback
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any
from unittest.mock import MagicMock

import asyncpg  # type: ignore[import-untyped]
import pytest
from sqlalchemy import URL, create_engine, exc, make_url, text
from sqlalchemy.dialects.postgresql import asyncpg as asyncpg_dialect
from sqlalchemy.ext.asyncio import AsyncConnection, create_async_engine
from sqlalchemy.pool import NullPool

from tests.asking import ask
from tests.logins import read_login
from tests.pools import MakeEngine, with_psycopg
from tests.versions import IS_2_0
from tools.paths import DOCS, LANGUAGES, SNIPPETS
from tools.postgres import EmbeddedPostgres, dsn_of

PAGES = [
    (DOCS / language / "troubleshooting/connect.md").read_text("utf-8") for language in LANGUAGES
]
STARTING = SNIPPETS / "troubleshooting/connect/starting.py"
NOBODY = URL.create("postgresql+asyncpg", "tea", "secret", "127.0.0.1", 1, "tea")
NO_HOST = NOBODY.set(host="tea-house.invalid")


async def refusal(url: URL, **options: Any) -> BaseException:
    """What connecting raises."""
    engine = create_async_engine(url, poolclass=NullPool, **options)
    try:
        async with engine.connect():
            pytest.fail(f"{url} connects")
    except Exception as error:
        return error


def assert_on_both(*texts: str) -> None:
    missing = [words for words in texts for page in PAGES if f"`{words}`" not in page]
    assert not missing


@contextmanager
def silent() -> Iterator[int]:
    """A port that accepts and does not answer."""
    with socket.create_server(("127.0.0.1", 0)) as server:
        yield server.getsockname()[1]


async def refuse_in_gbk(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    """Refuse a login as PostgreSQL does on a Windows in Chinese."""
    await read_login(reader, writer)
    fields = ["S致命错误", "VFATAL", "C28P01", "M用户 tea Password 认证失败", ""]
    body = b"".join(field.encode("gbk") + b"\0" for field in fields)
    writer.write(b"E" + struct.pack("!i", 4 + len(body)) + body)
    writer.close()


async def test_a_refusal_in_gbk_says_neither_driver_why() -> None:
    assert "致命错误".encode("gbk")[0] == 0xD6
    async with await asyncio.start_server(refuse_in_gbk, "127.0.0.1", 0) as listener:
        url = NOBODY.set(port=listener.sockets[0].getsockname()[1])
        closed = await refusal(url)
        unreadable = await refusal(with_psycopg(url))
    assert "connection was closed in the middle of operation" in str(closed)
    assert "connection failed" in str(unreadable)
    assert "\N{REPLACEMENT CHARACTER}" in str(unreadable)


async def test_the_language_of_messages_is_changed_by_a_reload(watcher: AsyncConnection) -> None:
    query = text("SELECT context FROM pg_settings WHERE name = 'lc_messages'")
    assert await watcher.scalar(query) == "superuser"


async def test_on_asyncpg_the_network_speaks_in_python_s_own_exceptions() -> None:
    with silent() as port:
        failures = [
            await refusal(NOBODY),
            await refusal(NO_HOST),
            await refusal(NOBODY.set(port=port), connect_args={"timeout": 0.2}),
        ]
    assert [type(error) for error in failures] == [
        ConnectionRefusedError,
        socket.gaierror,
        TimeoutError,
    ]
    assert all(isinstance(error, OSError) for error in failures)
    assert not any(isinstance(error, exc.SQLAlchemyError) for error in failures)
    assert str(failures[-1]) == ""


async def test_a_loop_that_stood_still_runs_out_of_time_for_a_server_that_answers(
    make_engine: MakeEngine,
) -> None:
    engine = make_engine(connect_args={"timeout": 2})

    async def connect() -> None:
        async with engine.connect():
            pytest.fail("it connects")

    connecting = asyncio.create_task(connect())
    for _ in range(2):  # by then it has begun
        await asyncio.sleep(0)
    time.sleep(2.5)  # noqa: ASYNC251, the loop must not run
    with pytest.raises(TimeoutError, match=r"^$"):
        await connecting
    async with engine.connect() as connection:  # undisturbed, the same limit is enough
        assert await connection.scalar(text("SELECT 1")) == 1


async def test_a_search_path_in_server_settings_holds_from_the_login_on(
    make_engine: MakeEngine,
) -> None:
    engine = make_engine(connect_args={"server_settings": {"search_path": "shop"}})
    async with engine.connect() as connection:
        assert await connection.scalar(text("SHOW search_path")) == "shop"


async def test_on_psycopg_the_network_speaks_through_operational_error() -> None:
    with silent() as port:
        waits = with_psycopg(NOBODY.set(port=port))
        failures: list[Any] = [
            await refusal(with_psycopg(NOBODY)),
            await refusal(with_psycopg(NO_HOST)),
            await refusal(waits, connect_args={"connect_timeout": 1}),
        ]
    assert {type(error) for error in failures} == {exc.OperationalError}
    refused, unknown, late = [str(error.orig) for error in failures]
    assert_on_both(refused.splitlines()[0].replace("port 1", "port 5432"))
    assert_on_both("failed to resolve host", "connection timeout expired")
    assert "failed to resolve host" in unknown
    assert "connection timeout expired" in late


async def test_where_no_route_leads_the_network_is_unreachable() -> None:
    nowhere = NOBODY.set(host="255.255.255.255", port=5432)  # Linux has no route there for TCP
    error = await refusal(nowhere)
    assert isinstance(error, OSError)
    assert str(error) == "[Errno 101] Network is unreachable"
    other = await refusal(with_psycopg(nowhere))
    assert isinstance(other, exc.OperationalError)
    assert "port 5432 failed: Network is unreachable" in str(other)
    assert_on_both("OSError: [Errno 101] Network is unreachable")


@pytest.mark.skipif(sys.platform != "linux", reason="the number and the words are Linux's")
async def test_a_host_that_is_down_is_another_number_of_the_same_words(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    ask = socket.socket.getsockopt

    def no_route(self: socket.socket, level: int, option: int, *size: int) -> int | bytes:
        down = (level, option) == (socket.SOL_SOCKET, socket.SO_ERROR)
        return errno.EHOSTUNREACH if down else ask(self, level, option, *size)

    with monkeypatch.context() as patch:
        patch.setattr(socket.socket, "getsockopt", no_route)
        error = await refusal(NOBODY)
    assert type(error) is OSError
    assert str(error) == "[Errno 113] Connect call failed ('127.0.0.1', 1)"
    assert os.strerror(errno.EHOSTUNREACH) == "No route to host"
    assert_on_both("[Errno 113] Connect call failed", "No route to host")


async def test_pre_ping_does_not_help_where_nothing_listens() -> None:
    assert type(await refusal(NOBODY, pool_pre_ping=True)) is ConnectionRefusedError


@pytest.mark.skipif(sys.platform != "linux", reason="the numbers and words are Linux's")
def test_the_errors_of_name_resolution_are_those_of_linux() -> None:
    libc = ctypes.CDLL(None)
    libc.gai_strerror.restype = ctypes.c_char_p
    for number in (socket.EAI_NONAME, socket.EAI_AGAIN):
        words = f"[Errno {number}] {libc.gai_strerror(number).decode()}"
        assert all(words in page for page in PAGES)


def test_the_password_ends_at_the_first_at_sign_whatever_stands_before_it() -> None:
    for password in ("p@ss", "p\\@ss", "'p@ss'"):
        url = make_url(f"postgresql+asyncpg://tea:{password}@db.example/tea")
        assert url.password == password.partition("@")[0]
        assert url.host == password.partition("@")[2] + "@db.example"


def test_a_printed_url_hides_the_password() -> None:
    assert "***" in str(create_async_engine(NOBODY).url)
    assert "secret" not in str(create_async_engine(NOBODY).url)


async def test_an_argument_of_the_pool_does_not_suit_the_driver() -> None:
    error = await refusal(NOBODY, connect_args={"pool_size": 5})
    assert "unexpected keyword argument 'pool_size'" in str(error)
    assert_on_both("unexpected keyword argument 'pool_size'")


@pytest.mark.parametrize("word", ["server_settings", "ssl", "command_timeout"])
def test_an_argument_of_the_driver_does_not_suit_the_pool(word: str) -> None:
    said = rf"Invalid argument\(s\) '{word}' .* PGDialect_asyncpg/AsyncAdaptedQueuePool/Engine"
    with pytest.raises(TypeError, match=said):
        create_async_engine(NOBODY, **{word: None})
    assert_on_both(word)


@pytest.mark.filterwarnings("ignore:coroutine:RuntimeWarning")
def test_a_synchronous_engine_with_asyncpg_fails_when_it_connects() -> None:
    engine = create_engine(NOBODY)
    with pytest.raises(exc.MissingGreenlet):
        engine.connect()


def test_the_version_of_another_product_is_not_recognised() -> None:
    connection = MagicMock()
    said = "CockroachDB CCL v21.2.0 (x86_64-unknown-linux-gnu, built 2021/11/15)"
    connection.exec_driver_sql.return_value.scalar.return_value = said
    with pytest.raises(AssertionError, match="Could not determine version from string 'Cock"):
        asyncpg_dialect.dialect()._get_server_version_info(connection)  # type: ignore[no-untyped-call]


async def last_query(url: str, pid: int) -> str:
    return str(await ask(url, f"SELECT query FROM pg_stat_activity WHERE pid = {pid}"))


@pytest.mark.parametrize("silent", [False, True])
async def test_asyncpgs_own_pool_sends_unlisten_unless_it_is_given_a_reset(
    database_url: str, silent: bool
) -> None:
    async def nothing(_: object) -> None: ...

    options = {"reset": nothing} if silent else {}
    async with asyncpg.create_pool(dsn_of(database_url), min_size=1, max_size=1, **options) as pool:
        async with pool.acquire() as connection:
            pid = await connection.fetchval("SELECT pg_backend_pid()")
        assert ("UNLISTEN *" in await last_query(database_url, pid)) is not silent
    assert_on_both("UNLISTEN statement is not yet supported", "UNLISTEN is not supported now")


async def test_the_pool_of_sqlalchemy_sends_no_unlisten(
    make_engine: MakeEngine, database_url: str
) -> None:
    engine = make_engine(pool_size=1)
    async with engine.connect() as connection:
        pid = await connection.scalar(text("SELECT pg_backend_pid()"))
    assert await last_query(database_url, pid) == "ROLLBACK;"


def original(error: Any) -> Any:
    """asyncpg's own exception."""
    return error if IS_2_0 else error.orig.__cause__


async def test_an_unknown_role_and_a_wrong_password_read_the_same(database_url: str) -> None:
    for change in ({"password": "wrong"}, {"username": "guide_no_such_guest"}):
        url = make_url(database_url).set(**change)  # type: ignore[arg-type]
        error = await refusal(url)
        assert type(error) is (asyncpg.InvalidPasswordError if IS_2_0 else exc.DBAPIError)
        assert type(original(error)) is asyncpg.InvalidPasswordError
        assert original(error).sqlstate == "28P01"
        assert str(original(error)) == f'password authentication failed for user "{url.username}"'
        error = await refusal(with_psycopg(url))
        assert type(error) is exc.OperationalError
        assert "connection failed: connection to server at" in str(error)
        assert f'password authentication failed for user "{url.username}"' in str(error)


async def test_limits_of_a_role_and_a_database_do_not_hold_superusers_back() -> None:
    with EmbeddedPostgres(18) as server:
        await ask(
            server.url(),
            "CREATE ROLE app LOGIN PASSWORD 'tea' CONNECTION LIMIT 1",
            "CREATE ROLE guest LOGIN PASSWORD 'tea'",
            "CREATE ROLE host LOGIN SUPERUSER PASSWORD 'tea' CONNECTION LIMIT 1",
            "CREATE DATABASE shop CONNECTION LIMIT 1",
        )
        url = make_url(server.url()).set(password="tea")
        said = {
            ("app", "postgres"): 'too many connections for role "app"',
            ("guest", "shop"): 'too many connections for database "shop"',
            ("host", "shop"): "connected",
        }
        for (role, database), words in said.items():
            engine = create_async_engine(url.set(username=role, database=database))
            async with engine.connect():
                try:
                    async with engine.connect():
                        found = "connected"
                except Exception as error:
                    found = f"{original(error).sqlstate}: {original(error)}"
            await engine.dispose()
            assert found.removeprefix("53300: ") == words
            if found != "connected":
                assert_on_both(words)


async def test_without_a_line_in_pg_hba_the_server_names_what_it_saw() -> None:
    with EmbeddedPostgres(18) as server:
        url = make_url(server.url())
        (server.home / "data" / "pg_hba.conf").write_text("host shop all all trust\n", "utf-8")
        server.restart()
        error = original(await refusal(url))
        assert error.sqlstate == "28000"
        names = f'host "127.0.0.1", user "{url.username}", database "{url.database}"'
        assert str(error) == f"no pg_hba.conf entry for {names}, no encryption"
        error = await refusal(url, connect_args={"ssl": "require"})
        assert "rejected SSL upgrade" in str(error)
        with_other = with_psycopg(url)
        assert names in str(await refusal(with_other))
        error = await refusal(with_other, connect_args={"sslmode": "require"})
        assert "server does not support SSL, but SSL was required" in str(error)
    assert_on_both(
        "no pg_hba.conf entry for host",
        "28000",
        asyncpg.InvalidAuthorizationSpecificationError.__name__,
        "rejected SSL upgrade",
        "server does not support SSL, but SSL was required",
    )


async def test_the_listing_waits_out_a_server_that_is_on_its_way_down_and_up() -> None:
    """57P03 is said while a server starts and while it waits for its last client."""
    with EmbeddedPostgres(18) as server:
        last = await asyncpg.connect(dsn_of(server.url()))
        assert server._process
        os.kill(server._process.pid, signal.SIGTERM)
        error = await refused_with_57p03(server.url())
        assert "the database system is" in str(original(error))
        program = await asyncio.create_subprocess_exec(
            sys.executable, "-u", str(STARTING),
            env={**os.environ, "DATABASE_URL": server.url()},
            stdout=asyncio.subprocess.PIPE,
        )  # fmt: skip
        assert program.stdout
        lines = [(await program.stdout.readline()).decode().strip() for _ in range(3)]
        assert lines[:2] == ["ConnectionRefusedError"] * 2
        assert lines[2] == ("CannotConnectNowError" if IS_2_0 else "Error")
        await last.close()
        await asyncio.to_thread(server.stop, "smart")
        await asyncio.to_thread(server.start)
        rest = (await program.stdout.read()).decode().splitlines()
        assert await program.wait() == 0
        assert rest[-1] == "up: True"


async def refused_with_57p03(url: str) -> BaseException:
    """The first refusal that a server which is told to stop gives."""
    async with asyncio.timeout(60):
        while True:
            engine = create_async_engine(url, poolclass=NullPool)
            try:
                async with engine.connect():
                    pass
            except Exception as error:
                if getattr(original(error), "sqlstate", "") == "57P03":
                    return error
                raise


async def test_the_listing_lets_other_errors_through(database_url: str) -> None:
    url = make_url(database_url).set(password="wrong").render_as_string(hide_password=False)
    program = await asyncio.create_subprocess_exec(
        sys.executable, str(STARTING),
        env={**os.environ, "DATABASE_URL": url},
        stdout=asyncio.subprocess.PIPE, stderr=asyncio.subprocess.PIPE,
    )  # fmt: skip
    printed, complained = await program.communicate()
    assert program.returncode == 1
    assert printed.decode().split() == ["ConnectionRefusedError"] * 2
    assert "password authentication failed" in complained.decode()


def test_no_dialect_has_the_short_name_with_a_driver_either() -> None:
    for words in "postgres+asyncpg://", "sqlalchemy.dialects:postgres.asyncpg":
        assert all(f"`{words}`" in page for page in PAGES)
    with pytest.raises(exc.NoSuchModuleError, match=r"sqlalchemy.dialects:postgres\.asyncpg"):
        create_async_engine("postgres+asyncpg://tea:secret@127.0.0.1/tea")


async def test_a_limit_of_a_query_shows_in_the_traceback(make_engine: MakeEngine) -> None:
    async with make_engine(connect_args={"command_timeout": 1}).connect() as connection:
        with pytest.raises(TimeoutError) as caught:
            await connection.execute(text("SELECT pg_sleep(60)"))
    assert str(caught.value) == ""
    assert "bind_execute" in [entry.name for entry in traceback.extract_tb(caught.tb)]
    assert all("`bind_execute`" in page for page in PAGES)


async def test_a_limit_shows_in_prepare_where_a_new_statement_waits_for_its_table(
    make_engine: MakeEngine,
) -> None:
    async with make_engine().begin() as migration:
        await migration.execute(text("CREATE TABLE orders (id int)"))
        await migration.commit()
    async with make_engine().connect() as migration:
        await migration.execute(text("LOCK TABLE orders"))
        async with make_engine(connect_args={"command_timeout": 1}).connect() as connection:
            with pytest.raises(TimeoutError) as caught:
                await connection.execute(text("SELECT id FROM orders"))
    names = [entry.name for entry in traceback.extract_tb(caught.tb)]
    assert "prepare" in names
    assert "bind_execute" not in names
    assert_on_both("prepare")


async def test_the_traceback_says_that_the_line_is_open_and_the_login_unanswered() -> None:
    async def decline(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await reader.read(8)  # SSLRequest
        writer.write(b"N")
        await reader.read()  # the login, until the client gives up
        writer.close()

    async with await asyncio.start_server(decline, "127.0.0.1", 0) as pooler:
        with silent() as mute:
            asks = {"await connected": pooler.sockets[0].getsockname()[1], "await pr.on_data": mute}
            for line, port in asks.items():
                error = await refusal(NOBODY.set(port=port), connect_args={"timeout": 0.2})
                assert type(error) is TimeoutError
                assert line in "".join(traceback.format_exception(error))
                names = [entry.name for entry in traceback.extract_tb(error.__traceback__)]
                assert not {"bind_execute", "prepare"} & set(names)
    assert_on_both(*asks)
