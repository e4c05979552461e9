"""What the page on `dispose()` says beyond what its snippets print."""

import asyncio
import gc
import logging
import subprocess
import sys
from collections.abc import AsyncIterator
from contextlib import AsyncExitStack
from pathlib import Path

import pytest
import uvicorn._subprocess
from sqlalchemy import event, make_url, text
from sqlalchemy.exc import InterfaceError, PendingRollbackError
from sqlalchemy.exc import TimeoutError as QueueTimeoutError
from sqlalchemy.ext.asyncio import AsyncEngine, AsyncSession, create_async_engine
from sqlalchemy.orm import DeclarativeBase, Mapped, mapped_column
from sqlalchemy.pool import QueuePool

from tests.asking import backends
from tests.loading import load_snippet
from tests.pools import MakeEngine, leaves_open, with_psycopg
from tests.waiting import DEADLINE, eventually
from tools.postgres import Proxy

PID = text("SELECT pg_backend_pid()")


@pytest.fixture
async def engine(make_engine: MakeEngine) -> AsyncIterator[AsyncEngine]:
    engine = make_engine(pool_size=2, max_overflow=0)
    yield engine
    await engine.dispose()
    gc.collect()


async def pid(engine: AsyncEngine) -> int:
    async with engine.connect() as connection:
        return int(await connection.scalar(PID) or 0)


# Filling


async def test_filling_keeps_pool_size_and_closes_the_overflow_on_return(
    database_url: str,
    make_engine: MakeEngine,
) -> None:
    engine = make_engine(pool_size=2, max_overflow=3)
    async with AsyncExitStack() as lent:
        for _ in range(5):
            await lent.enter_async_context(engine.connect())
        assert await backends(database_url) == 5
    assert await backends(database_url) == 2


async def test_filling_beyond_the_limit_ends_in_the_error_about_the_limit(
    make_engine: MakeEngine,
) -> None:
    fill = load_snippet("pool/dispose/lifespan.py")["fill"]
    engine = make_engine(pool_size=2, max_overflow=1, pool_timeout=0.1)
    await fill(engine, 3)
    with pytest.raises(QueueTimeoutError, match="QueuePool limit of size 2 overflow 1 reached"):
        await fill(engine, 4)


# What is lent


@leaves_open
async def test_disposed_in_traffic_an_engine_may_have_twice_its_limit(
    engine: AsyncEngine, database_url: str
) -> None:
    async with AsyncExitStack() as lent:
        for _ in range(2):
            await lent.enter_async_context(engine.connect())
        await engine.dispose()
        for _ in range(2):
            await lent.enter_async_context(engine.connect())
        assert await backends(database_url) == 4


@leaves_open
async def test_each_dispose_in_traffic_may_add_the_limit_once_more(
    make_engine: MakeEngine, database_url: str
) -> None:
    engine = make_engine(pool_size=1, max_overflow=0)
    async with AsyncExitStack() as lent:
        for _ in range(3):
            await lent.enter_async_context(engine.connect())
            await engine.dispose()
        assert await backends(database_url) == 3


@leaves_open
async def test_who_waits_in_the_old_pool_gets_a_connection_of_the_old_pool(
    make_engine: MakeEngine,
) -> None:
    engine = make_engine(pool_size=1, max_overflow=0)
    lent = await engine.connect()
    old = await lent.scalar(PID)
    waiting = asyncio.create_task(pid(engine))
    await asyncio.sleep(0)
    await engine.dispose()
    new = await pid(engine)
    assert not waiting.done()
    await lent.close()
    assert await waiting == old != new
    await engine.dispose()
    gc.collect()


@leaves_open
async def test_of_what_was_lent_the_old_pool_keeps_pool_size(
    make_engine: MakeEngine, database_url: str
) -> None:
    engine = make_engine(pool_size=1, max_overflow=2)
    async with AsyncExitStack() as lent:
        for _ in range(3):
            await lent.enter_async_context(engine.connect())
        await engine.dispose()
        assert await backends(database_url) == 3
    assert await backends(database_url) == 1
    await engine.dispose()
    assert await backends(database_url) == 1
    del lent
    gc.collect()


# The end


async def test_a_second_dispose_closes_what_a_cancelled_one_left(
    database_url: str, make_engine: MakeEngine
) -> None:
    engine = make_engine(pool_size=3)
    async with AsyncExitStack() as lent:
        for _ in range(3):
            await lent.enter_async_context(engine.connect())
    disposing = asyncio.create_task(engine.dispose())
    await asyncio.sleep(0)
    disposing.cancel()
    with pytest.raises(asyncio.CancelledError):
        await disposing
    assert await backends(database_url) == 2
    await engine.dispose()
    assert await backends(database_url) == 0


async def test_dispose_waits_for_a_dead_network_until_a_timeout_ends_it(
    database_url: str, make_engine: MakeEngine
) -> None:
    async with Proxy(database_url) as proxy:
        engine = make_engine(proxy.url)
        await pid(engine)
        proxy.swallow()
        with pytest.raises(TimeoutError):
            async with asyncio.timeout(0.5):
                await engine.dispose()


async def test_with_psycopg_dispose_does_not_wait_for_the_server(
    database_url: str, make_engine: MakeEngine
) -> None:
    async with Proxy(database_url) as proxy:
        engine = make_engine(with_psycopg(proxy.url))
        await pid(engine)
        proxy.swallow()  # so the server is not told
        disposing = asyncio.create_task(engine.dispose())
        await asyncio.wait([disposing], timeout=DEADLINE)
        assert disposing.done()


# Loops


@leaves_open
def test_in_a_later_loop_the_first_error_is_the_loop_and_the_next_an_operation(
    database_url: str,
) -> None:
    engine = create_async_engine(database_url)
    asyncio.run(pid(engine))
    with pytest.raises(RuntimeError, match="attached to a different loop"):
        asyncio.run(pid(engine))
    with pytest.raises(InterfaceError, match="another operation is in progress"):
        asyncio.run(pid(engine))
    asyncio.run(engine.dispose(close=False))
    gc.collect()


@leaves_open
def test_a_ping_replaces_the_connection_of_another_loop_after_the_first_error(
    database_url: str, caplog: pytest.LogCaptureFixture
) -> None:
    engine = create_async_engine(database_url, pool_pre_ping=True)
    first = asyncio.run(pid(engine))
    with pytest.raises(RuntimeError, match="attached to a different loop"):
        asyncio.run(pid(engine))
    assert asyncio.run(pid(engine)) != first
    asyncio.run(engine.dispose(close=False))
    gc.collect()


OUTLIVED = """
import asyncio, sys
import uvloop
from sqlalchemy import text
from sqlalchemy.ext.asyncio import create_async_engine

if sys.argv[2] == "uvloop":
    uvloop.install()
engine = create_async_engine(sys.argv[1])

async def pid():
    async with engine.connect() as connection:
        return await connection.scalar(text("SELECT pg_backend_pid()"))

print(asyncio.run(pid()), flush=True)
sys.stdin.readline()
"""


@pytest.mark.parametrize(
    ("loop", "driver", "left"),
    [("asyncio", "asyncpg", 1), ("uvloop", "asyncpg", 0), ("uvloop", "psycopg", 1)],
)
def test_a_backend_outlives_a_loop_of_asyncio_and_with_asyncpg_not_one_of_uvloop(
    database_url: str, loop: str, driver: str, left: int
) -> None:
    to = make_url(database_url).set(drivername=f"postgresql+{driver}")
    url = to.render_as_string(hide_password=False)

    async def so_many() -> bool:
        return await backends(database_url) == left

    with subprocess.Popen(
        [sys.executable, "-W", "ignore", "-c", OUTLIVED, url, loop],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
    ) as program:
        assert program.stdout
        assert program.stdout.readline()
        asyncio.run(eventually(f"{left} backends are left", so_many))
        assert asyncio.run(backends(database_url)) == left
        program.communicate(b"\n")


@leaves_open
async def test_dispose_of_the_sync_engine_logs_a_missing_greenlet(
    engine: AsyncEngine, database_url: str, caplog: pytest.LogCaptureFixture
) -> None:
    await pid(engine)
    with caplog.at_level(logging.ERROR):
        engine.sync_engine.dispose()
    assert "Exception closing connection" in caplog.text
    assert "MissingGreenlet: greenlet_spawn has not been called" in caplog.text


@leaves_open
def test_a_plain_dispose_in_a_later_loop_logs_that_the_first_is_closed(
    database_url: str, caplog: pytest.LogCaptureFixture
) -> None:
    engine = create_async_engine(database_url)
    asyncio.run(pid(engine))
    with caplog.at_level(logging.ERROR):
        asyncio.run(engine.dispose())
    assert "Event loop is closed" in caplog.text


@leaves_open
def test_a_connection_of_psycopg_can_be_used_in_a_later_loop(database_url: str) -> None:
    engine = create_async_engine(with_psycopg(database_url))
    first = asyncio.run(pid(engine))
    assert asyncio.run(backends(database_url)) == 1
    assert asyncio.run(pid(engine)) == first
    asyncio.run(engine.dispose())


# fork

FORKED = """
import asyncio, gc, os, signal, sys
from sqlalchemy import NullPool, text
from sqlalchemy.ext.asyncio import create_async_engine

url, way = sys.argv[1:]
engine = create_async_engine(url)

if way == "pid check":  # as SQLAlchemy's manual has it
    from sqlalchemy import event, exc

    @event.listens_for(engine.sync_engine, "connect")
    def connect(_, record):
        record.info["pid"] = os.getpid()

    @event.listens_for(engine.sync_engine, "checkout")
    def checkout(_, record, proxy):
        if record.info["pid"] != os.getpid():
            record.dbapi_connection = proxy.dbapi_connection = None
            raise exc.DisconnectionError("another process")

kept = [engine.pool] if way == "kept" else []

async def pid():
    async with engine.connect() as connection:
        return await connection.scalar(text("SELECT pg_backend_pid()"))

async def work():
    if way in ("plain", "close=False", "kept", "collected"):
        await engine.dispose(close=way == "plain")
    if way in ("kept", "collected"):
        gc.collect()
    await pid()
    if way == "pid check":
        gc.collect()

async def main():
    ours = await pid()
    child = os.fork()
    if not child:
        signal.alarm(20)
        try:
            asyncio.run(work())
        finally:
            os._exit(0)
    os.waitpid(child, 0)
    watcher = create_async_engine(url, poolclass=NullPool)
    alive = text("SELECT count(*) FROM pg_stat_activity WHERE pid = :pid")
    async with watcher.connect() as connection:
        print("alive:", await connection.scalar(alive, {"pid": ours}), flush=True)
    if way in ("as it is", "kept", "collected", "pid check"):
        try:
            async with asyncio.timeout(5):
                await pid()
            print("fine", flush=True)
        except Exception as error:
            unheard = way in ("collected", "pid check") and isinstance(error, TimeoutError)
            print("unheard" if unheard else "broken", flush=True)
    os._exit(0)

asyncio.run(main())
"""


def forked(database_url: str, way: str) -> list[str]:
    ran = subprocess.run(
        [sys.executable, "-W", "ignore", "-c", FORKED, database_url, way],
        capture_output=True,
        encoding="utf-8",
        timeout=60,
    )
    return ran.stdout.splitlines()


@leaves_open
def test_a_plain_dispose_in_a_forked_child_ends_the_backend_of_its_parent(
    database_url: str,
) -> None:
    assert forked(database_url, "plain") == ["alive: 0"]


@leaves_open
def test_dispose_without_close_in_a_forked_child_leaves_it_alone(database_url: str) -> None:
    assert forked(database_url, "close=False") == ["alive: 1"]


@leaves_open
def test_a_child_that_uses_the_pool_as_it_is_breaks_the_connection_of_its_parent(
    database_url: str,
) -> None:
    assert forked(database_url, "as it is")[-1] == "broken"


@leaves_open
@pytest.mark.skipif(sys.platform != "linux", reason="only epoll is shared across fork()")
@pytest.mark.parametrize(
    ("way", "outcome"),
    [
        ("kept", ["alive: 1", "fine"]),
        ("collected", ["alive: 0", "unheard"]),
        ("pid check", ["alive: 0", "unheard"]),
    ],
)
def test_a_parent_hears_no_more_if_its_child_collects_the_old_pool(
    database_url: str, way: str, outcome: list[str]
) -> None:
    assert forked(database_url, way) == outcome


@leaves_open
@pytest.mark.skipif(sys.platform != "linux", reason="asyncpg's case is that of Linux")
@pytest.mark.parametrize(
    ("way", "outcome"),
    [
        ("plain", ["alive: 0"]),
        ("collected", ["alive: 1", "fine"]),
        ("pid check", ["alive: 1", "fine"]),
    ],
)
def test_with_psycopg_a_parent_loses_its_connection_to_a_plain_dispose_only(
    database_url: str, way: str, outcome: list[str]
) -> None:
    url = with_psycopg(database_url).render_as_string(hide_password=False)
    assert forked(url, way) == outcome


def test_multiprocessing_forks_by_default_on_linux_before_3_14() -> None:
    program = "import multiprocessing; print(multiprocessing.get_start_method())"
    ran = subprocess.run(
        [sys.executable, "-c", program], capture_output=True, encoding="utf-8", check=True
    )
    if sys.platform == "linux":
        assert ran.stdout.strip() == ("fork" if sys.version_info < (3, 14) else "forkserver")


def test_the_workers_of_uvicorn_are_spawned() -> None:
    assert uvicorn._subprocess.spawn.get_start_method() == "spawn"


SPAWNED = """
import asyncio, multiprocessing, sys
from sqlalchemy.ext.asyncio import create_async_engine

engine = create_async_engine(sys.argv[1])

async def connect():
    async with engine.connect():
        pass

def inherited(answer):
    answer.send(engine.pool.checkedin())

if __name__ == "__main__":
    asyncio.run(connect())
    ours, theirs = multiprocessing.Pipe()
    context = multiprocessing.get_context(sys.argv[2])
    child = context.Process(target=inherited, args=[theirs])
    child.start()
    print(engine.pool.checkedin(), ours.recv())
    child.join()
"""


@pytest.mark.parametrize(("way", "pooled"), [("fork", 1), ("forkserver", 0), ("spawn", 0)])
def test_a_child_inherits_the_pool_by_fork_and_not_otherwise(
    database_url: str, tmp_path: Path, way: str, pooled: int
) -> None:
    program = tmp_path / "spawned.py"
    program.write_text(SPAWNED, "utf-8")
    ran = subprocess.run(
        [sys.executable, "-W", "ignore", program, database_url, way],
        capture_output=True,
        encoding="utf-8",
        timeout=60,
    )
    assert ran.stdout.split() == ["1", str(pooled)]


# invalidate


@pytest.mark.parametrize("soft", [False, True])
async def test_an_invalidated_connection_keeps_its_slot(engine: AsyncEngine, soft: bool) -> None:
    assert isinstance(engine.pool, QueuePool)
    async with AsyncSession(engine) as session:
        connection = await session.connection()
        if soft:
            (await connection.get_raw_connection()).invalidate(soft=True)
        else:
            await session.invalidate()
    assert engine.pool.checkedin() == 1


async def test_after_an_invalidation_an_idle_connection_is_lent_before_a_new_one(
    engine: AsyncEngine,
) -> None:
    async with engine.connect() as one, engine.connect() as other:
        old = {await one.scalar(PID), await other.scalar(PID)}
    async with AsyncSession(engine) as session:
        await session.execute(PID)
        await session.invalidate()
    assert await pid(engine) in old
    assert await pid(engine) not in old


async def test_a_hard_invalidation_loses_what_was_not_committed_and_a_soft_one_does_not(
    engine: AsyncEngine,
) -> None:
    async with engine.begin() as connection:
        await connection.execute(text("CREATE TABLE orders (drink text)"))
    async with AsyncSession(engine) as session:
        await session.execute(text("INSERT INTO orders VALUES ('oolong')"))
        await session.invalidate()
    async with AsyncSession(engine) as session:
        await session.execute(text("INSERT INTO orders VALUES ('longjing')"))
        raw = await (await session.connection()).get_raw_connection()
        raw.invalidate(soft=True)
        await session.commit()
        assert await session.scalar(text("SELECT string_agg(drink, ' ') FROM orders")) == "longjing"


async def test_a_session_goes_on_after_its_own_invalidate(engine: AsyncEngine) -> None:
    async with AsyncSession(engine) as session:
        first = await session.scalar(PID)
        await session.invalidate()
        assert await session.scalar(PID) != first


class Base(DeclarativeBase):
    """What is mapped here."""


class Cup(Base):
    """Nothing but a key."""

    __tablename__ = "cups"
    number: Mapped[int] = mapped_column(primary_key=True)


async def test_after_its_own_invalidate_a_session_is_empty_and_its_objects_detached(
    engine: AsyncEngine,
) -> None:
    async with engine.begin() as connection:
        await connection.run_sync(Base.metadata.create_all)
    async with AsyncSession(engine) as session:
        kept = Cup(number=1)
        session.add(kept)
        await session.flush()
        session.add(Cup(number=2))
        await session.invalidate()
        assert kept not in session
        assert not session.new
        await session.commit()
        assert await session.get(Cup, 2) is None


async def test_a_connection_invalidated_in_its_transaction_wants_a_rollback_first(
    engine: AsyncEngine,
) -> None:
    async with engine.connect() as connection:
        first = await connection.scalar(PID)
        await connection.invalidate()
        with pytest.raises(PendingRollbackError, match="Can't reconnect until invalid transaction"):
            await connection.execute(PID)
        await connection.rollback()
        assert await connection.scalar(PID) != first


# The pool that takes over


async def test_listeners_and_settings_go_over_to_the_new_pool(engine: AsyncEngine) -> None:
    opened: list[object] = []
    event.listen(engine.sync_engine, "connect", lambda *seen: opened.append(seen))
    before = engine.pool
    await engine.dispose()
    assert engine.pool is not before
    assert engine.pool.status() == before.status()
    await pid(engine)
    assert len(opened) == 1
