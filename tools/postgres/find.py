"""Which PostgreSQL to use: the one that was named, our compose service, or one of our own."""

import asyncio
import os
import socket
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import Literal

from sqlalchemy import URL, make_url, text
from sqlalchemy.exc import ArgumentError

from tools.postgres.binaries import PostgresError
from tools.postgres.database import connect
from tools.postgres.embedded import EmbeddedPostgres

# As docker-compose.yml has them.
COMPOSE_URL = "postgresql+asyncpg://postgres:postgres@127.0.0.1:54320/postgres"
CLUSTER_NAME = "async-pool-guide"

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
        if about.reads_only:
            raise PostgresError(
                f"DATABASE_URL: role {about.role} may only read there, and every snippet makes a "
                "database: name the primary and a role without default_transaction_read_only."
            )
        yield Server(given, "DATABASE_URL", about.version)
    elif version := _compose_version():
        yield Server(COMPOSE_URL, "docker compose", version)
    else:
        with EmbeddedPostgres(major or _major()) as server:
            version = asyncio.run(_ask(make_url(server.url()))).version
            yield Server(server.url(), "embedded", version)


@dataclass(frozen=True)
class _About:
    version: str
    cluster_name: str
    role: str
    may_create_databases: bool
    reads_only: bool


async def _ask(server: URL) -> _About:
    async with connect(server) as connection:
        rows = await connection.execute(text(_ABOUT))
        return _About(*rows.one())


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
           current_setting('cluster_name'), rolname, rolcreatedb OR rolsuper,
           current_setting('transaction_read_only')::bool
    FROM pg_roles WHERE rolname = current_user
"""
