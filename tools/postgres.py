"""The PostgreSQL that snippets and tests run against, and a database in it for each of them."""

import asyncio
import os
import secrets
import socket
import time
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager, contextmanager
from dataclasses import dataclass, field
from typing import Literal

from sqlalchemy import make_url, text
from sqlalchemy.engine import URL
from sqlalchemy.exc import ArgumentError
from sqlalchemy.ext.asyncio import AsyncConnection, create_async_engine
from sqlalchemy.pool import NullPool

from tools.binaries import PostgresError
from tools.embedded import EmbeddedPostgres

__all__ = [
    "EmbeddedPostgres",
    "PostgresError",
    "Server",
    "connect",
    "execute",
    "find_postgres",
    "fresh_database",
    "leftovers",
]

# As docker-compose.yml has them.
COMPOSE_URL = "postgresql+asyncpg://postgres:postgres@127.0.0.1:54320/postgres"
CLUSTER_NAME = "async-pool-guide"

CONNECT_DEADLINE = 10.0
"""Seconds a server may take to answer."""
LEAVE_DEADLINE = 2.0
"""Seconds a backend may take to end after its client has gone."""

_LOOKS_LIKE = "postgresql+asyncpg://user:password@host:5432/database"


@dataclass(frozen=True)
class Server:
    """A PostgreSQL server to make databases in."""

    url: str = field(repr=False)
    origin: Literal["DATABASE_URL", "docker compose", "embedded"]
    version: str


@contextmanager
def find_postgres(major: int | None = None) -> Iterator[Server]:
    """The server of this machine: DATABASE_URL, else our running compose service, else our own.

    Args:
        major: PostgreSQL's major version for a server of our own, 18 or 16; `PG_MAJOR` if not
            given, else 18.

    Raises:
        PostgresError: There is none, or the one that was named cannot be used.
    """
    if given := os.environ.get("DATABASE_URL", "").strip():
        about = asyncio.run(_ask(_parsed(given)))
        if not about.may_create_databases:
            raise PostgresError(
                f"DATABASE_URL: role {about.role} may not create databases, and every snippet gets "
                f'one of its own: run ALTER ROLE "{about.role}" CREATEDB, or name another role.'
            )
        yield Server(given, "DATABASE_URL", about.version)
    elif version := _compose_version():
        yield Server(COMPOSE_URL, "docker compose", version)
    else:
        with EmbeddedPostgres(major or _major()) as server:
            version = asyncio.run(_ask(make_url(server.url()))).version
            yield Server(server.url(), "embedded", version)


@contextmanager
def fresh_database(
    server_url: str, *, template: str = "template0", owner: str | None = None
) -> Iterator[str]:
    """A new database, dropped afterwards whatever happens and whoever is connected to it.

    Args:
        server_url: Any database of the server, as a role that may create databases.
        template: The database to copy; template1 may hold what somebody put there.
        owner: The role it belongs to; that of the URL if not given.

    Yields:
        The URL of the new database.

    Raises:
        PostgresError: The server cannot be reached, or it refuses.
    """
    server = make_url(server_url)
    name = f"guide_{secrets.token_hex(8)}"
    try:
        owned = f" OWNER {owner}" if owner else ""
        asyncio.run(execute(server, f"CREATE DATABASE {name} TEMPLATE {template}{owned}"))
        yield server.set(database=name).render_as_string(hide_password=False)
    finally:
        asyncio.run(execute(server, f"DROP DATABASE IF EXISTS {name} WITH (FORCE)"))


def leftovers(database_url: str) -> list[str]:
    """What a program that has ended left in its database, a short phrase each.

    Args:
        database_url: A database that was empty when the program began. Backends get
            `LEAVE_DEADLINE` seconds to end.

    Returns:
        Open connections and objects: `["a connection (idle in transaction)", "table orders"]`.

    Raises:
        PostgresError: The database cannot be reached.
    """
    return asyncio.run(_leftovers(make_url(database_url)))


# Asking a server


@dataclass(frozen=True)
class _About:
    version: str
    cluster_name: str
    role: str
    may_create_databases: bool


async def _ask(server: URL) -> _About:
    async with connect(server) as connection:
        rows = await connection.execute(text(_ABOUT))
        return _About(*rows.one())


async def execute(database: URL, statement: str) -> None:
    """Run one statement outside a transaction.

    Raises:
        PostgresError: The database cannot be reached, or it refuses.
    """
    async with connect(database) as connection:
        await connection.execute(text(statement))


async def _leftovers(database: URL) -> list[str]:
    async with connect(database) as connection:
        deadline = time.monotonic() + LEAVE_DEADLINE
        while True:
            backends = (await connection.scalars(text(_BACKENDS))).all()
            if not backends or time.monotonic() > deadline:
                break
            await asyncio.sleep(0.02)
        return [*backends, *await connection.scalars(text(_OBJECTS))]


@asynccontextmanager
async def connect(url: URL) -> AsyncIterator[AsyncConnection]:
    """One connection, made the way the snippets make theirs; what goes wrong is one sentence."""
    try:
        engine = create_async_engine(
            url,
            poolclass=NullPool,
            isolation_level="AUTOCOMMIT",
            connect_args={"timeout": CONNECT_DEADLINE},
        )
        async with engine.connect() as connection:
            yield connection
    except Exception as error:  # SQLAlchemy 2.0 passes on whatever the driver raises
        raise PostgresError(_explanation(error, url)) from error


def _explanation(error: Exception, url: URL) -> str:
    cause = getattr(getattr(error, "orig", None), "__cause__", None) or error
    place = f"PostgreSQL at {url.host or 'localhost'}:{url.port or 5432}"
    match getattr(cause, "sqlstate", None), cause:
        case "28P01", _:
            return f'{place} refuses the password of "{url.username}": correct DATABASE_URL.'
        case "3D000", _:
            return f'{place} has no database "{url.database}": name another in DATABASE_URL.'
        case None, TypeError():
            return (
                f"DATABASE_URL has a parameter asyncpg does not take ({cause}): for TLS write ssl."
            )
        case None, OverflowError():
            return f"There is no port {url.port}: correct DATABASE_URL."
        case None, ConnectionRefusedError():
            reason = "connection refused"
        case None, TimeoutError():
            reason = f"no answer within {CONNECT_DEADLINE:g} s"
        case _:
            reason = getattr(cause, "strerror", None) or str(cause).partition("\n")[0]
    return f"{place} cannot be used ({reason}): start or mend it, or correct DATABASE_URL."


def _parsed(database_url: str) -> URL:
    """The URL, if it is fit for the snippets. Errors do not quote it: it may hold a password."""
    try:
        url = make_url(database_url)
    except (ArgumentError, ValueError):
        raise PostgresError(f"DATABASE_URL is not a URL: write {_LOOKS_LIKE}") from None
    if "@" in f"{url.host}{url.database}":
        raise PostgresError("DATABASE_URL has an @ too many: in a password, write it as %40.")
    if url.drivername in ("postgresql", "postgres"):
        raise PostgresError(
            f"DATABASE_URL begins with {url.drivername}://, which names no async driver: write "
            f"{_LOOKS_LIKE}"
        )
    if url.drivername != "postgresql+asyncpg":
        raise PostgresError(
            f"DATABASE_URL begins with {url.drivername}://, but the snippets are written for "
            f"asyncpg: write {_LOOKS_LIKE}"
        )
    return url


def _compose_version() -> str | None:
    """The version of our running compose service; nothing where its port is closed."""
    url = make_url(COMPOSE_URL)
    with socket.socket() as probe:
        if probe.connect_ex((url.host, url.port)) != 0:
            return None
    try:
        about = asyncio.run(_ask(url))
        if about.cluster_name == CLUSTER_NAME:
            return about.version
    except PostgresError:
        pass  # not even a PostgreSQL, or one that does not know us
    raise PostgresError(
        f"Port {url.port} is taken by something that is not this guide's PostgreSQL: stop it, or "
        "set DATABASE_URL; if `docker compose up` has just begun, let it become healthy."
    )


def _major() -> int:
    given = os.environ.get("PG_MAJOR") or "18"
    if not given.isdecimal():
        raise PostgresError(f"PG_MAJOR={given} is no major version of PostgreSQL: write 16 or 18.")
    return int(given)


_ABOUT = """
    SELECT split_part(current_setting('server_version'), ' ', 1),
           current_setting('cluster_name'), rolname, rolcreatedb OR rolsuper
    FROM pg_roles WHERE rolname = current_user
"""
_BACKENDS = """
    SELECT 'a connection (' || coalesce(state, 'state unknown') || ')'
    FROM pg_stat_activity
    WHERE datname = current_database() AND backend_type = 'client backend'
      AND pid <> pg_backend_pid()
    ORDER BY backend_start
"""
# What PostgreSQL made itself has lower numbers; what belongs to a table or type goes with it.
_OBJECTS = r"""
    SELECT what.type || ' ' || regexp_replace(what.identity, '^public\.', '') AS phrase
    FROM (
        SELECT tableoid, oid FROM pg_namespace UNION ALL SELECT tableoid, oid FROM pg_class
        UNION ALL SELECT tableoid, oid FROM pg_type UNION ALL SELECT tableoid, oid FROM pg_proc
        UNION ALL SELECT tableoid, oid FROM pg_extension
    ) AS made, pg_identify_object(made.tableoid, made.oid, 0) AS what
    WHERE made.oid >= 16384 AND what.identity !~ '^pg_(toast_)?temp'
      AND NOT EXISTS (
        SELECT FROM pg_depend
        WHERE classid = made.tableoid AND objid = made.oid AND deptype IN ('a', 'e', 'i')
      )
    ORDER BY phrase
"""
