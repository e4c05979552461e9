"""What tests ask a server, and how they end a backend."""

import asyncio
from typing import Any

from sqlalchemy import URL, text
from sqlalchemy.ext.asyncio import AsyncConnection, create_async_engine
from sqlalchemy.pool import NullPool

from tests.waiting import eventually

OTHERS = text("""
    SELECT count(*) FROM pg_stat_activity
    WHERE datname = current_database() AND pid <> pg_backend_pid()
    AND backend_type = 'client backend'
""")
"""How many connections there are to this database, that of whoever asks left out."""


async def ask(url: str | URL, *statements: str) -> Any:
    """Run statements on a connection of its own; each is committed.

    Args:
        url: The database.
        statements: One at least.

    Returns:
        The first value of what the last one answers; None where it answers nothing.
    """
    engine = create_async_engine(url, poolclass=NullPool, isolation_level="AUTOCOMMIT")
    async with engine.connect() as connection:
        for statement in statements:
            result = await connection.execute(text(statement))
        return result.scalar() if result.returns_rows else None


def ask_sync(url: str | URL, *statements: str) -> Any:
    """`ask` where no event loop runs."""
    return asyncio.run(ask(url, *statements))


async def backends(url: str | URL) -> int:
    """How many connections the server has to a database, that of this question left out."""
    return int(await ask(url, OTHERS.text) or 0)


async def end_backend(watcher: AsyncConnection, pid: object) -> None:
    """End a backend, by its process number, and wait until it has gone."""
    end = text("SELECT pg_terminate_backend(:pid, 10000)")  # milliseconds
    assert await watcher.scalar(end, {"pid": pid}), f"backend {pid} did not end"


async def until_ended(watcher: AsyncConnection, pid: object) -> None:
    """Wait until a backend has gone, by its process number, whatever ends it.

    The watcher must be in AUTOCOMMIT: in a transaction, the server shows it the same all the time.
    """
    gone = text("SELECT count(*) = 0 FROM pg_stat_activity WHERE pid = :pid")
    await eventually("the backend has ended", lambda: watcher.scalar(gone, {"pid": pid}))
