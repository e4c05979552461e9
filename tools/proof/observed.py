"""What a recorder knows of pools, their places and connections, and what the server says."""

import weakref
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any

import psycopg
from sqlalchemy import make_url
from sqlalchemy.pool import NullPool, Pool, QueuePool, SingletonThreadPool

from tools.postgres import dsn_of
from tools.proof.whereabouts import Actor

Backend = tuple[str, int, str, str]
"""Process and its start as one word, process, state, last statement."""

_BACKENDS = """
    SELECT pid || '/' || extract(epoch FROM backend_start), pid,
           coalesce(state, 'starting'), left(query, 300)
    FROM pg_stat_activity
    WHERE backend_type = 'client backend' AND datname = %s AND pid <> pg_backend_pid()
    ORDER BY backend_start, pid
"""


@dataclass(eq=False)
class Connection:
    """A connection from its birth to its end."""

    pid: int
    place: "PoolSeen"
    closed: bool = False
    """The client closed it, or began to."""
    detached: bool = False
    driver: Callable[[], Any] = object
    """A weak reference to the driver's connection, where there can be one."""

    def is_given_up(self) -> bool:
        """Whether no client holds it any more: it was closed, or collected with its socket."""
        return self.closed or self.driver() is None


@dataclass(eq=False)
class Entry:
    """One place of a pool: what SQLAlchemy calls a record."""

    connection: Connection | None = None
    """The one in it; a dead one stays until another takes its place."""
    dropped: bool = False
    """The pool lets go of it."""


@dataclass(eq=False)
class PoolSeen:
    """A pool as its events tell; its counters are read beside that."""

    name: str
    kind: str
    size: int
    overflow: int
    pool: Any
    """A weak reference."""
    observer: bool = False
    lent: list[tuple[Entry, Actor]] = field(default_factory=list)
    free: list[Entry] = field(default_factory=list)
    waiting: list[Actor] = field(default_factory=list)
    disposing: bool = False
    """It is being disposed or was: its counters say nothing any more."""

    def give_back(self, entry: Entry) -> None:
        """An entry is not lent any more; a shared one may be lent to others still."""
        for at in range(len(self.lent) - 1, -1, -1):
            if self.lent[at][0] is entry:
                del self.lent[at]
                return

    def read_counters(self) -> dict[str, int] | None:
        """What the pool itself counts; nothing where it does not count."""
        pool = self.pool()
        if self.disposing or not isinstance(pool, QueuePool):
            return None
        return {"lent": pool.checkedout(), "free": pool.checkedin()}


def describe_pool(pool: Pool, name: str) -> PoolSeen:
    """A pool that has just been made."""
    size, overflow = 1, 0
    if isinstance(pool, QueuePool):
        size, overflow = pool.size(), pool._max_overflow
    elif isinstance(pool, NullPool):
        size, overflow = 0, -1
    elif isinstance(pool, SingletonThreadPool):
        size = int(pool.size)
    return PoolSeen(name, type(pool).__name__, size, overflow, weakref.ref(pool), name == "watcher")


class Eye:
    """Looks at `pg_stat_activity` from another database, so that it is not counted.

    Args:
        server_url: Another database of the server.
        database_url: The database whose backends to look at.

    Raises:
        psycopg.Error: The server does not answer.
    """

    def __init__(self, server_url: str, database_url: str) -> None:
        self._connection = psycopg.connect(dsn_of(server_url), autocommit=True)
        self._database = make_url(database_url).database

    def look(self) -> list[Backend]:
        """The backends of the database, by age."""
        return self._connection.execute(_BACKENDS, (self._database,), prepare=True).fetchall()
