"""Which server is taken, what is said of one that cannot be, and a database for each program."""

import asyncio
import socket
import socketserver
import threading
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import pytest
from sqlalchemy import make_url, text
from sqlalchemy.ext.asyncio import AsyncConnection, AsyncEngine, create_async_engine
from sqlalchemy.pool import NullPool

from tests.asking import ask_sync
from tools.postgres import (
    EmbeddedPostgres,
    PostgresError,
    database,
    find_postgres,
    free_port,
    fresh_database,
    leftovers,
)
from tools.postgres import find as postgres

SECRET = "longjing%2F42"


@pytest.fixture(scope="module")
def own() -> Iterator[str]:
    """The URL of a server with this guide's marker and a role that may not create databases."""
    with EmbeddedPostgres(cluster_name="async-pool-guide") as server:
        ask_sync(server.url(), f"CREATE ROLE guest LOGIN PASSWORD '{SECRET}'")
        yield server.url()


@pytest.fixture(autouse=True)
def closed_port(monkeypatch: pytest.MonkeyPatch) -> int:
    """Nothing named, and compose not running, whatever holds on this machine."""
    for name in ("DATABASE_URL", "PG_BIN", "PG_MAJOR"):
        monkeypatch.delenv(name, raising=False)
    port = free_port()
    url = make_url(postgres.COMPOSE_URL).set(port=port)
    monkeypatch.setattr(postgres, "COMPOSE_URL", url.render_as_string(hide_password=False))
    return port


def engine(url: str) -> AsyncEngine:
    """Without a pool; each statement is committed."""
    return create_async_engine(url, poolclass=NullPool, isolation_level="AUTOCOMMIT")


async def opened(url: str) -> AsyncConnection:
    """A connection that stays open until somebody closes it."""
    return await engine(url).connect()


def changed(url: str, **parts: Any) -> str:
    """A URL with another user, password, port or database."""
    return make_url(url).set(**parts).render_as_string(hide_password=False)


def databases(url: str) -> int:
    """How many databases of ours a server has."""
    count = ask_sync(url, "SELECT count(*) FROM pg_database WHERE datname LIKE 'guide\\_%'")
    assert isinstance(count, int)
    return count


def refusal() -> str:
    """Why no server is found."""
    with pytest.raises(PostgresError) as error, find_postgres():
        pass
    said = str(error.value)
    assert "\n" not in said
    return said


# Which server is taken


def test_database_url_comes_first(own: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(postgres, "COMPOSE_URL", own)
    monkeypatch.setenv("DATABASE_URL", f"{own}\n")
    with find_postgres() as server:
        assert (server.origin, server.url) == ("DATABASE_URL", own)
        assert server.version.startswith("18.")


def test_our_running_compose_service_comes_second(
    own: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(postgres, "COMPOSE_URL", own)
    with find_postgres() as server:
        assert (server.origin, server.url) == ("docker compose", own)


@pytest.mark.parametrize("major", ["", "16"])
def test_a_server_of_our_own_comes_last(major: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PG_MAJOR", major)
    with find_postgres() as server:
        assert server.origin == "embedded"
        assert server.version.startswith(f"{major or 18}.")
        assert ask_sync(server.url, "SHOW server_version") == server.version
    with pytest.raises(ConnectionRefusedError):
        ask_sync(server.url, "SELECT 1")


def test_a_server_does_not_show_its_password_in_a_failing_test(
    own: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("DATABASE_URL", own)
    with find_postgres() as server:
        assert str(make_url(own).password) not in repr(server)


# What is said of a server that cannot be taken


@pytest.mark.parametrize(
    ("url", "said"),
    [
        (f"postgresql://me:{SECRET}@h/db", "names no async driver: write postgresql+asyncpg://"),
        (f"postgres://me:{SECRET}@h/db", "names no async driver: write postgresql+asyncpg://"),
        (f"postgresql+psycopg://me:{SECRET}@h/db", "are written for asyncpg: write postgresql+asy"),
        (f"mysql+aiomysql://me:{SECRET}@h/db", "are written for asyncpg: write postgresql+asyncpg"),
        (f"me:{SECRET}@h/db", "DATABASE_URL is not a URL: write postgresql+asyncpg://"),
        (f"postgresql+asyncpg://me:{SECRET}@h:port/db", "DATABASE_URL is not a URL: write"),
        (f"postgresql+asyncpg://me:pu@{SECRET}@h/db", "has an @ too many: in a password, write it"),
        (f"postgresql+asyncpg://me:{SECRET}@127.0.0.1:99999/db", "There is no port 99999"),
        (f"postgresql+asyncpg://me:{SECRET}@h/db?sslmode=require", "'sslmode'): for TLS write ssl"),
    ],
)
def test_a_database_url_that_cannot_work_is_one_sentence_without_its_password(
    url: str, said: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("DATABASE_URL", url)
    refused = refusal()
    assert said in refused
    assert SECRET not in refused
    assert "longjing" not in refused


@pytest.mark.parametrize(
    ("parts", "said"),
    [
        ({"password": SECRET}, 'refuses the password of "postgres"'),
        ({"username": "nobody", "password": SECRET}, 'refuses the password of "nobody"'),
        ({"database": "teahouse"}, 'has no database "teahouse"'),
        ({"username": "guest", "password": SECRET}, 'run ALTER ROLE "guest" CREATEDB'),
    ],
)
def test_a_server_that_refuses_is_one_sentence_without_its_password(
    own: str, parts: dict[str, str], said: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("DATABASE_URL", changed(own, **parts))
    refused = refusal()
    assert said in refused
    assert SECRET not in refused
    assert str(make_url(own).password) not in refused


def test_a_server_that_may_only_be_read_is_one_sentence(
    own: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    with fresh_database(own) as url:
        name = make_url(url).database
        reads = f'ALTER DATABASE "{name}" SET default_transaction_read_only = on'
        ask_sync(own, reads)
        monkeypatch.setenv("DATABASE_URL", url)
        assert "may only read there" in refusal()


def test_a_server_that_is_not_there_is_named(
    own: str, closed_port: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("DATABASE_URL", changed(own, port=closed_port))
    assert f"127.0.0.1:{closed_port} cannot be used (connection refused)" in refusal()


def test_a_host_without_an_address_is_named(own: str, monkeypatch: pytest.MonkeyPatch) -> None:
    def unknown(*_: object, **__: object) -> None:
        raise socket.gaierror(socket.EAI_NONAME, "Name or service not known")

    monkeypatch.setattr(socket, "getaddrinfo", unknown)
    monkeypatch.setenv("DATABASE_URL", changed(own, host="teahouse", port=5432))
    assert "teahouse:5432 cannot be used (Name or service not known)" in refusal()


def test_a_server_that_does_not_answer_is_named(own: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(database, "CONNECT_DEADLINE", 0.2)
    with socket.create_server(("127.0.0.1", 0)) as silent:
        monkeypatch.setenv("DATABASE_URL", changed(own, port=silent.getsockname()[1]))
        assert "cannot be used (no answer within 0.2 s)" in refusal()


def test_a_foreign_postgresql_on_the_compose_port_is_refused(
    own: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(postgres, "COMPOSE_URL", own)
    monkeypatch.setattr(postgres, "CLUSTER_NAME", "another project")
    said = refusal()
    assert said.startswith(f"Port {make_url(own).port} is taken by something that is not this")
    assert "stop it, or set DATABASE_URL" in said


def test_a_postgresql_with_another_password_on_the_compose_port_is_refused(
    own: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(postgres, "COMPOSE_URL", changed(own, password=SECRET))
    assert "is taken by something that is not this guide's PostgreSQL" in refusal()


def test_another_program_on_the_compose_port_is_refused(
    own: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    class Web(socketserver.BaseRequestHandler):
        def handle(self) -> None:
            self.request.sendall(b"HTTP/1.1 400 Bad Request\r\n\r\n")

    with socketserver.ThreadingTCPServer(("127.0.0.1", 0), Web) as web:
        threading.Thread(target=web.serve_forever, args=[0.01]).start()
        monkeypatch.setattr(postgres, "COMPOSE_URL", changed(own, port=web.server_address[1]))
        said = refusal()
        web.shutdown()
    assert "is taken by something that is not this guide's PostgreSQL" in said


def test_a_major_that_is_no_number_is_named(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PG_MAJOR", "latest")
    assert refusal() == "PG_MAJOR=latest is no major version of PostgreSQL: write 16 or 18."


# A database for each program


def test_a_fresh_database_is_empty_and_dropped_afterwards(own: str) -> None:
    with fresh_database(own) as url:
        assert str(make_url(url).database).startswith("guide_")
        assert ask_sync(url, "SELECT count(*) FROM pg_tables WHERE schemaname = 'public'") == 0
        assert databases(own) == 1
    assert databases(own) == 0


def test_it_is_empty_whatever_the_server_copies_by_default(own: str) -> None:
    ask_sync(changed(own, database="template1"), "CREATE TABLE stray (id integer)")
    try:
        with fresh_database(own) as url:
            assert leftovers(url) == []
    finally:
        ask_sync(changed(own, database="template1"), "DROP TABLE stray")


def test_it_is_dropped_after_an_exception(own: str) -> None:
    with pytest.raises(ZeroDivisionError), fresh_database(own):
        raise ZeroDivisionError
    assert databases(own) == 0


def test_it_is_dropped_while_a_client_is_connected(own: str) -> None:
    with asyncio.Runner() as client:
        with fresh_database(own) as url:
            connection = client.run(opened(url))
        assert databases(own) == 0
        client.run(connection.invalidate())


def test_threads_have_databases_of_their_own(own: str) -> None:
    both = threading.Barrier(2)

    def meet(_: int) -> str:
        with fresh_database(own) as url:
            both.wait(30)
            return url

    with ThreadPoolExecutor(2) as pool:
        first, second = pool.map(meet, range(2))
    assert first != second
    assert databases(own) == 0


def test_a_role_that_may_not_create_one_is_one_sentence(own: str) -> None:
    guest = changed(own, username="guest", password=SECRET)
    with (
        pytest.raises(PostgresError, match="permission denied to create database"),
        fresh_database(guest),
    ):
        pass


# What a program leaves behind


@pytest.mark.parametrize(
    ("statement", "found"),
    [
        ("CREATE TABLE orders (id serial PRIMARY KEY, drink text UNIQUE)", ["table orders"]),
        ("CREATE SCHEMA house CREATE TABLE cups (id int)", ["schema house", "table house.cups"]),
        ("CREATE TYPE taste AS ENUM ('sweet')", ["type taste"]),
        ("CREATE SEQUENCE numbers", ["sequence numbers"]),
        ("CREATE VIEW menu AS SELECT 1 AS id", ["view menu"]),
        ("CREATE FUNCTION one() RETURNS int LANGUAGE sql AS 'SELECT 1'", ["function one()"]),
        ("CREATE TEMPORARY TABLE gone (id int)", []),
    ],
)
def test_an_object_left_behind_is_named(own: str, statement: str, found: list[str]) -> None:
    with fresh_database(own) as url:
        assert leftovers(url) == []
        ask_sync(url, statement)
        assert leftovers(url) == found


def test_a_connection_left_open_is_named(own: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(database, "LEAVE_DEADLINE", 0.1)
    with fresh_database(own) as url, asyncio.Runner() as client:
        idle = client.run(opened(url))
        stuck = client.run(opened(url))
        client.run(stuck.execute(text("BEGIN")))
        assert leftovers(url) == ["a connection (idle)", "a connection (idle in transaction)"]
        for connection in (idle, stuck):
            client.run(connection.close())


def test_a_connection_that_is_just_closing_is_waited_for(
    own: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(database, "LEAVE_DEADLINE", 20.0)

    has_looked = """
        SELECT count(*) FROM pg_stat_activity
        WHERE datname = current_database() AND pid <> pg_backend_pid()
          AND state = 'idle' AND query LIKE '%a connection (%'
    """

    async def leave_when_it_has_looked(url: str) -> list[str]:
        async with engine(url).connect() as connection:
            looking = asyncio.create_task(asyncio.to_thread(leftovers, url))
            while not await connection.scalar(text(has_looked)):
                assert not looking.done()
        return await looking

    with fresh_database(own) as url:
        assert asyncio.run(leave_when_it_has_looked(url)) == []
