"""Follows the pools of a program that runs in this process, from now on until it ends.

It listens where SQLAlchemy lends, waits, opens, returns and closes. Some of these places are
private: `HOOKS` names all of them, and a test says if one is gone.
"""

import ast
import contextlib
import threading
import time
import weakref
from collections import Counter
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import greenlet  # type: ignore[import-untyped]
from sqlalchemy.pool import Pool

from tools.proof.compare import normalize_wording
from tools.proof.observed import Backend, Connection, Entry, Eye, PoolSeen, describe_pool
from tools.proof.whereabouts import Actor, Whereabouts

LONGEST_TEXT = 120
"""Characters of a statement, an error or a printed line."""
TO_LEAVE = 0.05
"""Seconds for which we wait until a backend has left whose client has given up the connection."""
TO_LEAVE_AT_END = 5.0
"""The same in seconds when the run has ended: nothing looks again, and a machine may be busy."""


@dataclass
class PoolNow:
    """A pool at one moment."""

    place: PoolSeen
    lent: list[tuple[Connection | None, Actor]]
    free: list[Connection | None]
    waiting: list[Actor]
    counters: dict[str, int] | None


@dataclass
class Moment:
    """What happened, and what was to be seen then."""

    line: int
    event: str
    actors: list[Actor]
    place: PoolSeen | None
    connections: list[Connection]
    text: str
    pools: list[PoolNow]
    backends: list[Backend]
    closed: frozenset[int]
    """Processes of the backends whose connections are closed by the client, or detached."""


class Recorder:
    """Keeps a moment for each event.

    Args:
        folder: Where the copy of the snippet stands that runs.
        eye: Looks at the server.
    """

    def __init__(self, folder: str, eye: Eye) -> None:
        self.where = Whereabouts(folder)
        self.moments: list[Moment] = []
        self.places: list[PoolSeen] = []
        self.connections: list[Connection] = []
        """All, in the order in which they were opened, observers' too."""
        self._eye = eye
        self._names = weakref.WeakKeyDictionary[Any, str]()
        self._pools = weakref.WeakKeyDictionary[Any, PoolSeen]()
        self._entries = weakref.WeakKeyDictionary[Any, Entry]()
        self._open = dict[int, Connection]()
        """By the identity of what SQLAlchemy calls the DBAPI connection."""
        self.asking = dict[Any, PoolSeen]()
        """By greenlet: of which pool it asks a connection."""
        self._quiet = Counter[Any]()
        self._lock, self._busy = threading.RLock(), False
        self._later: list[Callable[[], None]] = []
        self._alive = set[Connection]()

    # What the hooks tell.

    def see_pool(self, pool: Pool) -> None:
        """A pool is being made: the variable that gets it is its name."""
        lines = [(frame.f_code.co_filename, frame.f_lineno) for frame in self.where.frames()]
        self._names[pool] = find_variable(lines)

    def inherit(self, old: Pool, new: Pool) -> None:
        """A pool was made in the place of another."""
        self._names[new] = self._names.get(old, "engine")

    def place(self, pool: Pool) -> PoolSeen | None:
        """What is known of a pool."""
        if pool not in self._pools and pool in self._names:
            self._pools[pool] = place = describe_pool(pool, self._names[pool])
            self.places.append(place)
        return self._pools.get(pool)

    def entry(self, record: Any) -> Entry:
        """What is known of a place in a pool."""
        return self._entries.setdefault(record, Entry())

    def opened(self, place: PoolSeen, dbapi: Any) -> Connection:
        """A connection was opened."""
        connection = Connection(read_pid(dbapi), place)
        with contextlib.suppress(TypeError):  # a driver's own pool lends what knows no weak one
            connection.driver = weakref.ref(getattr(dbapi, "driver_connection", dbapi))
        self._open[id(dbapi)] = connection
        self.connections.append(connection)
        return connection

    def connection(self, dbapi: Any) -> Connection | None:
        """What is known of a connection, or of what stands for it."""
        return self._open.get(id(getattr(dbapi, "dbapi_connection", None) or dbapi))

    def hush(self, change: int) -> None:
        """What closes now belongs to something greater, which will be told (1), or not (-1)."""
        self._quiet[greenlet.getcurrent()] += change

    def is_hushed(self) -> bool:
        """Whether something greater will be told."""
        return self._quiet[greenlet.getcurrent()] > 0

    def tell(
        self,
        event: str,
        place: PoolSeen | None,
        connections: Iterable[Connection | None] = (),
        text: str = "",
        line: int = 0,
    ) -> None:
        """Something happened: keep the moment; of an observer, only what it did to others.

        Args:
            event: What, a key of the player's words: `sql`, `checkout`, `end`.
            place: The pool in which it happened; none if in no pool.
            connections: Those that took part; those of which nothing is known are passed over.
            text: A statement, an error or a printed line; cut to `LONGEST_TEXT` characters.
            line: The line of the copy that did it; 0 for the one that is run now.
        """
        if place and place.observer:
            event = ""  # its statement may have ended a backend
        line = line or self.where.line()
        actor = self.where.actor()
        known = [connection for connection in connections if connection]
        text = " ".join(text.split())[:LONGEST_TEXT]

        def keep() -> None:
            self._keep(event, place, known, text, line, actor)

        with self._lock:
            if self._busy:  # the garbage collector closes something while we look
                self._later.append(keep)
                return
            self._busy = True
            try:
                keep()
                while self._later:
                    self._later.pop(0)()
            finally:
                self._busy = False

    def tell_error(
        self, error: BaseException, place: PoolSeen | None, event: str = "error"
    ) -> None:
        """An exception is raised, or leaves a block; each is told once.

        Args:
            error: The exception; told again, or as the `orig` of another, it is passed over.
            place: The pool in which it was raised; none if in no pool.
            event: A key of the player's words.
        """
        if getattr(error, "_told", False) or isinstance(error, GeneratorExit):
            return
        cause: Any = getattr(error, "orig", None) or error
        cause._told = error._told = True  # type: ignore[attr-defined]
        first = normalize_wording(str(cause)).strip().split("\n")[0]
        text = f"{type(error).__name__}: {first}".rstrip(": ")
        self.tell(event, place, text=text, line=self.where.raised_at(error))

    # What we see.

    def _keep(
        self,
        event: str,
        place: PoolSeen | None,
        connections: list[Connection],
        text: str,
        line: int,
        actor: Actor,
    ) -> None:
        patience = TO_LEAVE_AT_END if event == "end" else TO_LEAVE
        # The server first: while we look at it, other threads may go on and open more.
        backends = self._look_at_server(patience)
        pools = [self._look_at(each) for each in self.places if not each.observer]
        closed = frozenset(each.pid for each in self.connections if each.closed or each.detached)
        there = {pid for _, pid, _, _ in backends}
        killed = [
            each for each in self.connections
            if each in self._alive and not each.closed and each.pid not in there
        ]  # fmt: skip
        self._alive = {each for each in self.connections if each.pid in there}
        if dead := [each for each in killed if not each.place.observer]:
            self.moments.append(
                Moment(line, "kill", [actor], dead[0].place, dead, "", pools, backends, closed)
            )
        if event:
            self.moments.append(
                Moment(line, event, [actor], place, connections, text, pools, backends, closed)
            )

    def _look_at(self, place: PoolSeen) -> PoolNow:
        return PoolNow(
            place,
            [(entry.connection, actor) for entry, actor in place.lent],
            [entry.connection for entry in place.free],
            list(place.waiting),
            place.read_counters(),
        )

    def _look_at_server(self, patience: float) -> list[Backend]:
        """The backends; those that are about to leave get some seconds."""
        watched = {each.pid for each in self._alive if each.is_given_up()}
        end = time.monotonic() + patience
        while True:
            found = self._eye.look()
            if not any(pid in watched for _, pid, _, _ in found) or time.monotonic() > end:
                break
        observers = {each.pid for each in self.connections if each.place.observer}
        return [backend for backend in found if backend[1] not in observers]


def read_pid(dbapi: Any) -> int:
    """The process that serves a connection, 0 if it does not say."""
    driver = getattr(dbapi, "driver_connection", dbapi)
    if hasattr(driver, "get_server_pid"):
        return int(driver.get_server_pid())
    return int(getattr(getattr(driver, "info", None), "backend_pid", 0))


def find_variable(places: Iterable[tuple[str, int]]) -> str:
    """The variable that gets what is made at one of these lines of files, innermost first."""
    for file, line in places:
        tree = ast.parse(Path(file).read_text("utf-8"))
        for node in ast.walk(tree):
            if not isinstance(node, ast.Assign | ast.AnnAssign):
                continue
            targets = node.targets if isinstance(node, ast.Assign) else [node.target]
            ends = node.end_lineno or node.lineno
            if node.lineno <= line <= ends and isinstance(targets[0], ast.Name):
                return targets[0].id
    return "engine"
