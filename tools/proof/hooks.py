"""Where a recorder listens to SQLAlchemy. Installed in a process that ends with the snippet."""

import functools
import sys
from typing import Any

from pytest_examples import run_code
from sqlalchemy import event
from sqlalchemy.engine import Engine
from sqlalchemy.engine.default import DefaultDialect
from sqlalchemy.ext.asyncio import AsyncConnection, AsyncSession
from sqlalchemy.pool import (
    AssertionPool,
    NullPool,
    Pool,
    QueuePool,
    SingletonThreadPool,
    StaticPool,
)
from sqlalchemy.pool import base as pool_base
from sqlalchemy.util import queue

from tools.proof.around import AROUND
from tools.proof.recorder import Recorder

_Record: Any = pool_base._ConnectionRecord
_Fairy: Any = pool_base._ConnectionFairy
KINDS = (QueuePool, NullPool, StaticPool, AssertionPool, SingletonThreadPool)

HOOKS: tuple[tuple[Any, str], ...] = (
    *((kind, name) for kind in KINDS for name in ("_do_get", "_do_return_conn", "dispose")),
    *((kind, "recreate") for kind in KINDS),
    (Pool, "_should_wrap_creator"),
    (Pool, "_close_connection"),
    (_Fairy, "_checkout"),
    (_Fairy, "detach"),
    (_Record, "_ConnectionRecord__connect"),
    (_Record, "close"),
    (_Record, "checkin"),
    (_Record, "invalidate"),
    (queue.AsyncAdaptedQueue, "get"),
    (queue.Queue, "get"),
    (DefaultDialect, "do_commit"),
    (DefaultDialect, "do_rollback"),
    (AsyncSession, "__aexit__"),
    (AsyncConnection, "__aexit__"),
    (run_code.MockPrintFunction, "__init__"),
)
"""What is replaced, each by a function that calls it and tells of it."""
LONGEST_TURN = 1.0
"""Seconds until a thread that neither waits nor ends yields to another.

A pool counts a connection a moment before it is drawn, or after. With Python's own 0.005 s, another
thread may look in that moment.
"""


def find_missing() -> list[str]:
    """Those of `HOOKS` that this version of SQLAlchemy does not have."""
    return [f"{owner.__name__}.{name}" for owner, name in HOOKS if name not in vars(owner)]


def install(recorder: Recorder) -> None:
    """Let a recorder hear of everything from now on, to the end of this process."""
    sys.setswitchinterval(LONGEST_TURN)
    for owner, name in HOOKS:
        around = AROUND[name]
        original = vars(owner)[name]
        inner = original.__func__ if isinstance(original, classmethod) else original
        replaced: Any = functools.wraps(inner)(around(recorder, inner))
        # A snippet that looks who called it passes over what is SQLAlchemy's.
        file = inner.__code__.co_filename
        replaced.__code__ = replaced.__code__.replace(co_filename=file)
        setattr(owner, name, classmethod(replaced) if inner is not original else replaced)
    _listen(recorder)


def _listen(recorder: Recorder) -> None:
    def tell_statement(
        connection: Any, cursor: Any, statement: str, parameters: Any, context: Any, many: bool
    ) -> None:
        dbapi = connection.connection.dbapi_connection
        place = recorder.place(connection.engine.pool)
        known = recorder.connection(dbapi)
        recorder.tell("sql", known.place if known else place, [known], statement)

    def tell_failure(context: Any) -> None:
        place = recorder.place(context.engine.pool) if context.engine else None
        recorder.tell_error(context.sqlalchemy_exception or context.original_exception, place)

    event.listen(Engine, "after_cursor_execute", tell_statement)
    event.listen(Engine, "handle_error", tell_failure)
