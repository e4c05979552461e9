"""A database for each run, and what a run left in it."""

import asyncio
import secrets
import time
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager, contextmanager

from sqlalchemy import URL, make_url, text
from sqlalchemy.ext.asyncio import AsyncConnection, create_async_engine
from sqlalchemy.pool import NullPool

from tools.postgres.binaries import PostgresError

CONNECT_DEADLINE = 10.0
"""Seconds a server may take to answer."""
LEAVE_DEADLINE = 2.0
"""Seconds a backend may take to end after its client has gone."""


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


def dsn_of(url: str | URL) -> str:
    """The same database as asyncpg and psycopg name it without SQLAlchemy: `postgresql://...`."""
    return make_url(url).set(drivername="postgresql").render_as_string(hide_password=False)


@asynccontextmanager
async def connect(url: URL) -> AsyncIterator[AsyncConnection]:
    """One connection in AUTOCOMMIT, made with the driver of the snippets.

    Raises:
        PostgresError: It cannot be had, or what is done with it fails: one sentence says why.
    """
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
