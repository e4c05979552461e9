"""What stands around functions of SQLAlchemy while a run is recorded: it calls them, and tells."""

from collections.abc import Callable
from typing import Any

import greenlet  # type: ignore[import-untyped]
from sqlalchemy import exc
from sqlalchemy.pool import Pool

from tools.proof.recorder import Recorder


def _around_making(recorder: Recorder, original: Any) -> Any:
    """A pool is being made; what is called then is this, and nobody reads its signature."""

    def _should_wrap_creator(pool: Pool, creator: Any) -> Any:
        recorder.see_pool(pool)
        return original(pool, creator)

    return _should_wrap_creator


def _around_recreate(recorder: Recorder, original: Any) -> Any:
    def recreate(pool: Pool) -> Pool:
        new: Pool = original(pool)
        recorder.inherit(pool, new)
        return new

    return recreate


def _around_get(recorder: Recorder, original: Any) -> Any:
    """A queue is asked: whoever finds it empty waits."""

    def get(self: Any, block: bool = True, timeout: float | None = None) -> Any:
        place = recorder.asking.get(greenlet.getcurrent())
        if not block or not place or not self.empty():
            return original(self, block, timeout)
        actor = recorder.where.actor()
        place.waiting.append(actor)
        recorder.tell("wait", place)
        try:
            return original(self, block, timeout)
        finally:
            place.waiting.remove(actor)

    return get


def _around_do_get(recorder: Recorder, original: Any) -> Any:
    def _do_get(pool: Any) -> Any:
        place, current = recorder.place(pool), greenlet.getcurrent()
        if not place or current in recorder.asking:
            return original(pool)
        recorder.asking[current] = place
        actor = recorder.where.actor()
        before = list(place.lent)
        try:
            record = original(pool)
        except BaseException as error:
            new = [pair for pair in place.lent if pair[1] is actor and pair not in before]
            for pair in new:
                place.lent.remove(pair)
            del recorder.asking[current]
            if isinstance(error, exc.TimeoutError):
                recorder.tell_error(error, place, "timeout")
            else:
                recorder.tell_error(error, place)
            raise
        recorder.asking.pop(current, None)
        entry = recorder.entry(record)
        if entry in place.free:
            place.free.remove(entry)
        if not any(pair[0] is entry and pair[1] is actor for pair in place.lent):
            place.lent.append((entry, actor))
        return record

    return _do_get


def _around_checkout(recorder: Recorder, original: Any) -> Any:
    def _checkout(cls: Any, pool: Any, *args: Any, **options: Any) -> Any:
        fairy = original(cls, pool, *args, **options)
        place = recorder.place(pool)
        if place and fairy._counter == 1:
            recorder.tell("checkout", place, [recorder.connection(fairy)])
        return fairy

    return _checkout


def _around_connect(recorder: Recorder, original: Any) -> Any:
    def __connect(record: Any) -> None:
        place = recorder.place(record._ConnectionRecord__pool)
        if not place:
            original(record)
            return
        entry, actor = recorder.entry(record), recorder.where.actor()
        entry.connection = None
        if not any(each is entry for each, _ in place.lent):
            place.lent.append((entry, actor))
        recorder.tell("open", place)
        try:
            original(record)
        except BaseException as error:
            recorder.tell_error(error, place)
            raise
        entry.connection = recorder.opened(place, record.dbapi_connection)
        recorder.tell("connect", place, [entry.connection])

    return __connect


def _around_record_close(recorder: Recorder, original: Any) -> Any:
    def close(record: Any) -> None:
        recorder.entry(record).dropped = True
        original(record)

    return close


def _around_return(recorder: Recorder, original: Any) -> Any:
    def _do_return_conn(pool: Any, record: Any) -> None:
        place, entry = recorder.place(pool), recorder.entry(record)
        if not place:
            original(pool, record)
            return
        entry.dropped = False
        if record.dbapi_connection is None and not (entry.connection and entry.connection.closed):
            entry.connection = None  # it was detached, or there never was one
        try:
            original(pool, record)
        finally:
            place.give_back(entry)
            still = any(each is entry for each, _ in place.lent)
            if not entry.dropped and not still and entry not in place.free:
                place.free.append(entry)

    return _do_return_conn


def _around_checkin(recorder: Recorder, original: Any) -> Any:
    def checkin(record: Any, *args: Any, **options: Any) -> None:
        place, entry = recorder.place(record._ConnectionRecord__pool), recorder.entry(record)
        connection = entry.connection
        recorder.hush(1)
        try:
            original(record, *args, **options)
        finally:
            recorder.hush(-1)
        if place:
            recorder.tell("close" if entry.dropped else "checkin", place, [connection])

    return checkin


def _around_invalidate(recorder: Recorder, original: Any) -> Any:
    def invalidate(record: Any, e: Any = None, soft: bool = False) -> None:
        place, connection = (
            recorder.place(record._ConnectionRecord__pool),
            recorder.entry(record).connection,
        )
        was_open = record.dbapi_connection is not None
        recorder.hush(1)
        try:
            original(record, e, soft)
        finally:
            recorder.hush(-1)
        if place and was_open:
            recorder.tell("invalidate", place, [connection], "soft" if soft else "")

    return invalidate


def _around_close(recorder: Recorder, original: Any) -> Any:
    def _close_connection(pool: Any, dbapi: Any, *args: Any, **options: Any) -> None:
        connection = recorder.connection(dbapi)
        if connection:
            connection.closed = True
        original(pool, dbapi, *args, **options)
        if connection and not recorder.is_hushed():
            recorder.tell("close", connection.place, [connection])

    return _close_connection


def _around_detach(recorder: Recorder, original: Any) -> Any:
    def detach(fairy: Any) -> None:
        record = fairy._connection_record
        connection = recorder.connection(fairy)
        original(fairy)
        if record is not None and connection:
            connection.detached = True
            recorder.tell("detach", connection.place, [connection])

    return detach


def _around_dispose(recorder: Recorder, original: Any) -> Any:
    def dispose(pool: Any) -> None:
        place = recorder.place(pool)
        if not place:
            original(pool)
            return
        connections = [entry.connection for entry in place.free]
        place.disposing = True
        recorder.hush(1)
        try:
            original(pool)
        finally:
            recorder.hush(-1)
        place.free.clear()
        recorder.tell("dispose", place, connections)

    return dispose


def _around_end(what: str) -> Callable[[Recorder, Any], Any]:
    """The end of a transaction."""

    def around(recorder: Recorder, original: Any) -> Any:
        def end(dialect: Any, dbapi: Any) -> None:
            original(dialect, dbapi)
            if connection := recorder.connection(dbapi):
                recorder.tell(what, connection.place, [connection])

        return end

    return around


def _around_leaving(recorder: Recorder, original: Any) -> Any:
    async def __aexit__(self: Any, kind: Any, value: Any, trace: Any) -> Any:
        if value is not None:
            engine = getattr(self, "bind", None) or getattr(self, "engine", None)
            pool = getattr(engine, "pool", None)
            recorder.tell_error(value, recorder.place(pool) if pool else None)
        return await original(self, kind, value, trace)

    return __aexit__


class _Printed(list[Any]):
    """The lines that pytest-examples has taken down; each is told."""

    def __init__(self, recorder: Recorder) -> None:
        super().__init__()
        self._recorder = recorder

    def append(self, statement: Any) -> None:
        super().append(statement)
        self._recorder.tell("print", None, text=str(statement), line=statement.line_no)


def _around_printing(recorder: Recorder, original: Any) -> Any:
    def __init__(self: Any, *args: Any, **options: Any) -> None:
        original(self, *args, **options)
        self.statements = _Printed(recorder)

    return __init__


AROUND: dict[str, Callable[[Recorder, Any], Any]] = {
    "_should_wrap_creator": _around_making,
    "__init__": _around_printing,
    "recreate": _around_recreate,
    "get": _around_get,
    "_do_get": _around_do_get,
    "_checkout": _around_checkout,
    "_ConnectionRecord__connect": _around_connect,
    "close": _around_record_close,
    "_do_return_conn": _around_return,
    "checkin": _around_checkin,
    "invalidate": _around_invalidate,
    "_close_connection": _around_close,
    "detach": _around_detach,
    "dispose": _around_dispose,
    "do_commit": _around_end("commit"),
    "do_rollback": _around_end("rollback"),
    "__aexit__": _around_leaving,
}
"""By the name of the function."""
