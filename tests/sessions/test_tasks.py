"""What the page on one session per task claims beyond the lines that its snippets print."""

import asyncio
import itertools
import os
import re
import subprocess
import sys
from collections.abc import Awaitable, Callable
from contextvars import ContextVar
from datetime import datetime
from typing import Any

import asyncpg  # type: ignore[import-untyped]
import pytest
from sqlalchemy import event, text
from sqlalchemy.exc import (
    IllegalStateChangeError,
    InterfaceError,
    InvalidRequestError,
    NotSupportedError,
    PendingRollbackError,
    ResourceClosedError,
    SAWarning,
)
from sqlalchemy.exc import TimeoutError as PoolTimeout
from sqlalchemy.ext.asyncio import (
    AsyncConnection,
    AsyncEngine,
    AsyncSession,
    async_scoped_session,
    async_sessionmaker,
    create_async_engine,
)
from sqlalchemy.orm import DeclarativeBase, Mapped, mapped_column
from sqlalchemy.pool import QueuePool

from tests.pools import MakeEngine, checked_out, use, with_psycopg
from tests.waiting import eventually
from tools.postgres import dsn_of

SELECT = text("SELECT 'oolong'")
BACKEND = text("SELECT pg_backend_pid() FROM pg_sleep(0.05)")
PROVISIONING = (
    "This session is provisioning a new connection; concurrent operations are not permitted"
)
UNSUPPORTED = r"Usage of the 'Session.add\(\)' operation is not currently supported within the"
IN_PROGRESS = "cannot perform operation: another operation is in progress"
SPOILED = r"cannot use Connection.transaction\(\) in a manually started transaction"


class Base(DeclarativeBase):
    pass


class Order(Base):
    __tablename__ = "orders"
    id: Mapped[int] = mapped_column(primary_key=True)
    drink: Mapped[str]


@pytest.fixture
async def engine(make_engine: MakeEngine) -> AsyncEngine:
    engine = make_engine(pool_size=5, max_overflow=0, pool_timeout=5)
    async with engine.begin() as connection:
        await connection.run_sync(Base.metadata.create_all)
    return engine


async def together(*work: Awaitable[object]) -> list[object]:
    return await asyncio.gather(*work, return_exceptions=True)


# Why it works on your machine


async def test_a_connection_taken_beforehand_silences_the_provisioning_error(
    make_engine: MakeEngine,
) -> None:
    engine = make_engine()
    async with AsyncSession(engine) as session:
        await session.connection()
        results = await together(session.execute(SELECT), session.execute(SELECT))
    assert not any(isinstance(result, Exception) for result in results)


async def test_a_burst_that_has_to_connect_meets_the_error_on_a_warm_pool(
    engine: AsyncEngine,
) -> None:
    async with AsyncSession(engine) as one, AsyncSession(engine) as session:
        await one.execute(SELECT)  # the only connection that was ready
        results = await together(session.execute(SELECT), session.execute(SELECT))
    assert isinstance(results[1], InvalidRequestError)
    assert str(results[1]).startswith(PROVISIONING)


async def test_a_checkout_listener_that_runs_sql_meets_the_error_on_a_warm_pool(
    engine: AsyncEngine,
) -> None:
    def look(dbapi_connection: Any, *_: object) -> None:
        dbapi_connection.cursor().execute("SELECT 'longjing'")

    event.listen(engine.sync_engine, "checkout", look)
    async with AsyncSession(engine) as session:
        results = await together(session.execute(SELECT), session.execute(SELECT))
    assert str(results[1]).startswith(PROVISIONING)


# gather on one session drains the pool


DRAIN = """
import asyncio, gc, os, warnings
from contextlib import suppress
from sqlalchemy import text
from sqlalchemy.exc import IllegalStateChangeError
from sqlalchemy.ext.asyncio import AsyncSession, create_async_engine

engine = create_async_engine(os.environ["DATABASE_URL"])

async def read():
    async with AsyncSession(engine) as session:
        await asyncio.gather(*(session.execute(text("SELECT 1")) for _ in range(3)))

async def main():
    gc.disable()
    for _ in range(3):
        with suppress(IllegalStateChangeError):
            await read()
        left = asyncio.all_tasks() - {asyncio.current_task()}
        await asyncio.gather(*left, return_exceptions=True)
        del left
        print(engine.pool.checkedout())
    await asyncio.sleep(0)
    with warnings.catch_warnings(record=True) as said:
        warnings.simplefilter("always")
        gc.collect()
    print(engine.pool.checkedout(), sum("non-checked-in" in str(each.message) for each in said))
    await engine.dispose()

asyncio.run(main())
"""


def test_a_gather_that_fails_on_a_cold_pool_keeps_a_connection_until_the_gc_finds_it(
    database_url: str,
) -> None:
    # In a process of its own: on Python 3.11, what the collector does to these greenlets
    # upsets the interpreter's recursion counter.
    ran = subprocess.run(
        [sys.executable, "-c", DRAIN],
        env={**os.environ, "DATABASE_URL": database_url},
        capture_output=True,
        encoding="utf-8",
        timeout=60,
        check=True,
    )
    assert ran.stdout.split("\n")[:4] == ["1", "2", "3", "0 3"]


async def share_in_a_group(engine: AsyncEngine) -> None:
    async with AsyncSession(engine) as session, asyncio.TaskGroup() as group:
        for _ in range(3):
            group.create_task(session.execute(SELECT))


async def test_return_exceptions_and_task_groups_lose_no_connection(
    make_engine: MakeEngine,
) -> None:
    engine = make_engine()
    async with AsyncSession(engine) as session:
        results = await together(*(session.execute(SELECT) for _ in range(3)))
    assert any(isinstance(result, InvalidRequestError) for result in results)
    assert checked_out(engine) == 0
    await engine.dispose()
    with pytest.raises(ExceptionGroup):
        await share_in_a_group(engine)
    assert checked_out(engine) == 0


# In turn, not at once


async def test_a_shared_connection_runs_its_queries_in_turn(engine: AsyncEngine) -> None:
    query = text("SELECT statement_timestamp(), clock_timestamp() FROM pg_sleep(0.05)")

    async def run(connection: AsyncConnection) -> tuple[datetime, datetime]:
        began, ended = (await connection.execute(query)).one()
        return began, ended

    async with engine.connect() as connection:
        turns = sorted(await asyncio.gather(*(run(connection) for _ in range(4))))
    assert all(one[1] <= later[0] for one, later in itertools.pairwise(turns))


async def test_five_sessions_of_their_own_are_at_work_at_once(
    engine: AsyncEngine, watcher: AsyncConnection
) -> None:
    brew = text("SELECT pg_advisory_xact_lock_shared(7)")
    brewing = text("SELECT count(*) = 5 FROM pg_locks WHERE objid = 7 AND NOT granted")

    async def alone() -> None:
        async with AsyncSession(engine) as session:
            await session.execute(brew)

    await watcher.execute(text("SELECT pg_advisory_lock(7)"))
    async with asyncio.TaskGroup() as group:
        for _ in range(5):
            group.create_task(alone())
        await eventually("five queries run", lambda: watcher.scalar(brewing))
        await watcher.execute(text("SELECT pg_advisory_unlock(7)"))


# The connection that stays spoiled


async def spoil(engine: AsyncEngine, end: Callable[[AsyncSession], Awaitable[None]]) -> object:
    """What ending the transaction beside a running query raises."""
    async with AsyncSession(engine) as session:
        await session.execute(SELECT)
        return (await together(session.execute(BACKEND), end(session)))[1]


@pytest.mark.parametrize("end", [AsyncSession.commit, AsyncSession.rollback])
async def test_dispose_clears_the_pool_of_a_connection_spoiled_by(
    engine: AsyncEngine, end: Callable[[AsyncSession], Awaitable[None]]
) -> None:
    error = await spoil(engine, end)
    assert isinstance(error, InterfaceError)
    assert IN_PROGRESS in str(error)
    for _ in range(3):
        with pytest.raises(InterfaceError, match=SPOILED):
            await use(engine)
    await engine.dispose()
    await use(engine)


async def test_on_a_spoiled_connection_autocommit_raises_nothing_and_loses_what_is_written(
    make_engine: MakeEngine, watcher: AsyncConnection
) -> None:
    engine = make_engine(pool_size=1, max_overflow=0)
    async with engine.begin() as connection:
        await connection.run_sync(Base.metadata.create_all)
    await spoil(engine, AsyncSession.commit)
    async with AsyncSession(engine.execution_options(isolation_level="AUTOCOMMIT")) as session:
        await session.execute(text("INSERT INTO orders (drink) VALUES ('oolong')"))
    await engine.dispose()
    assert await watcher.scalar(text("SELECT count(*) FROM orders")) == 0


@pytest.mark.parametrize("end", [AsyncSession.commit, AsyncSession.rollback, AsyncSession.close])
async def test_beside_the_first_query_an_end_does_nothing_and_the_next_borrower_commits(
    make_engine: MakeEngine,
    watcher: AsyncConnection,
    end: Callable[[AsyncSession], Awaitable[None]],
) -> None:
    engine = make_engine(pool_size=1, max_overflow=0)
    async with engine.begin() as connection:
        await connection.run_sync(Base.metadata.create_all)
    insert = text("INSERT INTO orders (drink) VALUES ('oolong')")
    async with AsyncSession(engine) as session:
        results = await together(session.execute(insert), end(session))
    assert not any(isinstance(result, Exception) for result in results)
    count = text("SELECT count(*) FROM orders")
    assert (checked_out(engine), await watcher.scalar(count)) == (0, 0)
    async with AsyncSession(engine) as another:
        await another.execute(SELECT)
        await another.commit()
    assert await watcher.scalar(count) == 1


@pytest.mark.parametrize("end", [AsyncSession.commit, AsyncSession.rollback, AsyncSession.close])
async def test_psycopg_ends_the_transaction_after_the_running_query(
    database_url: str, make_engine: MakeEngine, end: Callable[[AsyncSession], Awaitable[None]]
) -> None:
    engine = make_engine(with_psycopg(database_url))
    async with AsyncSession(engine) as session:
        await session.execute(SELECT)
        results = await together(session.execute(BACKEND), end(session))
    assert not any(isinstance(result, Exception) for result in results)
    await use(engine)
    assert checked_out(engine) == 0


async def test_with_pre_ping_one_more_borrower_fails_and_then_the_connection_is_new(
    make_engine: MakeEngine,
) -> None:
    engine = make_engine(pool_pre_ping=True)
    await spoil(engine, AsyncSession.commit)
    with pytest.raises(InterfaceError, match=SPOILED):
        await use(engine)
    await use(engine)


# One task is cancelled


GIVEN_UP = "connection is closed|got result for unknown protocol state 3"


@pytest.mark.parametrize(
    ("cancelled", "messages"),
    [
        (0, {1: GIVEN_UP, 2: GIVEN_UP}),
        (1, {0: "canceling statement due to user request", 2: GIVEN_UP}),
    ],
    ids=["running", "queued"],
)
async def test_one_cancelled_task_costs_the_others_their_connection(
    engine: AsyncEngine, watcher: AsyncConnection, cancelled: int, messages: dict[int, str]
) -> None:
    sleeping = text("SELECT count(*) FROM pg_stat_activity WHERE wait_event = 'PgSleep'")
    async with AsyncSession(engine) as session:
        await session.execute(SELECT)
        tasks = [
            asyncio.create_task(session.execute(text("SELECT pg_sleep(60)"))) for _ in range(3)
        ]
        await eventually("the first query runs", lambda: watcher.scalar(sleeping))
        tasks[cancelled].cancel()
        results = await together(*tasks)
        assert isinstance(results[cancelled], asyncio.CancelledError)
        for task, message in messages.items():
            assert re.search(message, str(results[task])), results[task]
        with pytest.raises(PendingRollbackError):
            await session.execute(SELECT)
        await session.rollback()
        await session.execute(SELECT)


# TaskGroup


async def test_the_cancelled_task_of_a_group_loses_its_new_connection(
    make_engine: MakeEngine,
) -> None:
    engine = make_engine()

    async def share(session: AsyncSession) -> None:
        async with asyncio.TaskGroup() as group:
            for _ in range(3):
                group.create_task(session.execute(SELECT))

    async with AsyncSession(engine) as session:
        with pytest.raises(ExceptionGroup, match="unhandled errors in a TaskGroup"):
            await share(session)
        assert isinstance(engine.pool, QueuePool)
        assert (engine.pool.checkedin(), engine.pool.checkedout()) == (0, 0)


async def test_gather_raises_and_lets_the_other_tasks_run_on() -> None:
    go_on = asyncio.Event()

    async def fail() -> None:
        raise LookupError("out of oolong")

    other = asyncio.create_task(go_on.wait())
    with pytest.raises(LookupError):
        await asyncio.gather(fail(), other)
    assert not other.done()
    go_on.set()
    assert await other


# Which message is whose


async def test_a_query_during_a_commit_is_refused(engine: AsyncEngine) -> None:
    async with AsyncSession(engine) as session:
        await session.execute(SELECT)
        results = await together(session.commit(), session.execute(SELECT))
    assert isinstance(results[1], InvalidRequestError)
    assert str(results[1]) == (
        "This session is in 'prepared' state; no further SQL can be emitted within this "
        "transaction."
    )


async def test_a_commit_during_a_commit_is_refused(engine: AsyncEngine) -> None:
    async with AsyncSession(engine) as session:
        await session.execute(SELECT)
        results = await together(session.commit(), session.commit())
    assert isinstance(results[1], IllegalStateChangeError)
    assert str(results[1]).startswith(
        "Method 'commit()' can't be called here; method 'commit()' is already in progress"
    )


async def test_a_flush_during_a_flush_is_refused(engine: AsyncEngine) -> None:
    async with AsyncSession(engine) as session:

        async def add(drink: str) -> None:
            session.add(Order(drink=drink))
            await session.flush()

        with pytest.warns(SAWarning, match=UNSUPPORTED):
            results = await together(add("longjing"), add("oolong"))
    assert isinstance(results[1], InvalidRequestError)
    assert str(results[1]) == "Session is already flushing"


async def test_add_and_commit_in_two_tasks_fail_both(engine: AsyncEngine) -> None:
    async with AsyncSession(engine) as session:

        async def add(drink: str) -> None:
            session.add(Order(drink=drink))
            await session.commit()

        with pytest.warns(SAWarning, match=UNSUPPORTED):
            one, other = await together(add("longjing"), add("oolong"))
    assert isinstance(one, ResourceClosedError)
    assert str(one) == "This transaction is closed"
    assert isinstance(other, IllegalStateChangeError)
    assert str(other).startswith(
        "Method 'commit()' can't be called here; method '_prepare_impl()' is already in progress"
    )


async def test_a_query_during_a_stream_is_refused(engine: AsyncEngine) -> None:
    async with AsyncSession(engine) as session:
        rows = await session.stream(text("SELECT generate_series(1, 5000)"))

        async def read() -> int:
            return sum([1 async for _ in rows])

        read_all, error = await together(read(), session.execute(SELECT))
    assert read_all == 5000
    assert isinstance(error, InterfaceError)
    assert IN_PROGRESS in str(error)


async def test_a_bare_connection_of_asyncpg_refuses_a_second_query(engine: AsyncEngine) -> None:
    async with engine.connect() as connection:
        bare = await driver(connection)
        results = await together(bare.fetch("SELECT pg_sleep(0.05)"), bare.fetch("SELECT 1"))
    assert isinstance(results[1], asyncpg.InterfaceError)
    assert str(results[1]) == IN_PROGRESS


def test_a_pool_used_in_three_event_loops_says_another_operation_in_the_third(
    database_url: str,
) -> None:
    engine = create_async_engine(database_url)
    with asyncio.Runner() as first, asyncio.Runner() as second, asyncio.Runner() as third:
        first.run(use(engine))
        with pytest.raises(RuntimeError, match="attached to a different loop"):
            second.run(use(engine))
        with pytest.raises(InterfaceError, match="another operation is in progress"):
            third.run(use(engine))
        first.run(engine.dispose())


# A session per task


async def test_a_task_commits_although_its_neighbor_fails(engine: AsyncEngine) -> None:
    async def save(drink: str, *, fail: bool) -> None:
        async with AsyncSession(engine) as session, session.begin():
            session.add(Order(drink=drink))
            await session.flush()
            if fail:
                raise LookupError("out of " + drink)

    results = await together(save("longjing", fail=False), save("oolong", fail=True))
    assert isinstance(results[1], LookupError)
    async with AsyncSession(engine) as session:
        assert list(await session.scalars(text("SELECT drink FROM orders"))) == ["longjing"]


async def test_another_session_does_not_see_what_is_not_committed(engine: AsyncEngine) -> None:
    count = text("SELECT count(*) FROM orders")
    async with AsyncSession(engine) as session, AsyncSession(engine) as other:
        session.add(Order(drink="oolong"))
        await session.flush()
        assert await session.scalar(count) == 1
        assert await other.scalar(count) == 0


async def test_an_object_of_another_session_is_refused(engine: AsyncEngine) -> None:
    async with AsyncSession(engine) as session, AsyncSession(engine) as other:
        order = Order(drink="oolong")
        session.add(order)
        await session.flush()
        with pytest.raises(InvalidRequestError, match="is already attached to session"):
            other.add(order)


async def test_a_semaphore_bounds_how_many_connections_are_out(engine: AsyncEngine) -> None:
    seats, most = asyncio.Semaphore(2), 0

    async def brew() -> None:
        nonlocal most
        async with seats, AsyncSession(engine) as session:
            await session.execute(SELECT)
            most = max(most, checked_out(engine))

    await asyncio.gather(*(brew() for _ in range(20)))
    assert 0 < most <= 2


async def test_more_tasks_than_the_pool_lends_in_time_fail_and_a_semaphore_prevents_it(
    make_engine: MakeEngine,
) -> None:
    engine = make_engine(pool_size=2, max_overflow=1, pool_timeout=1)

    async def work(limit: asyncio.Semaphore) -> None:
        async with limit, AsyncSession(engine) as session:
            await session.execute(text("SELECT pg_sleep(0.5)"))

    unbounded, bounded = asyncio.Semaphore(12), asyncio.Semaphore(2)
    failed = [each for each in await together(*(work(unbounded) for _ in range(12))) if each]
    assert failed
    assert all(isinstance(each, PoolTimeout) for each in failed)
    assert not any(await together(*(work(bounded) for _ in range(12))))


# Other messages from the driver


async def driver(connection: AsyncConnection) -> asyncpg.Connection:
    bare = (await connection.get_raw_connection()).driver_connection
    assert isinstance(bare, asyncpg.Connection)
    return bare


async def test_a_changed_table_fails_a_prepared_statement_once(
    engine: AsyncEngine, make_engine: MakeEngine
) -> None:
    orders = text("SELECT * FROM orders")
    migration = make_engine()
    async with AsyncSession(engine) as session:
        await session.execute(orders)
    async with migration.begin() as connection:
        await connection.execute(text("ALTER TABLE orders ADD cups int"))
    await migration.dispose()
    async with AsyncSession(engine) as session:
        with pytest.raises(NotSupportedError, match="cached statement plan is invalid due to"):
            await session.execute(orders)
    async with AsyncSession(engine) as session:
        await session.execute(orders)


async def test_without_the_statement_cache_a_changed_table_is_no_error(
    make_engine: MakeEngine,
) -> None:
    engine = make_engine(pool_size=1, connect_args={"prepared_statement_cache_size": 0})
    orders = text("SELECT * FROM orders")
    async with engine.begin() as connection:
        await connection.run_sync(Base.metadata.create_all)
    async with AsyncSession(engine) as session:
        await session.execute(orders)
    migration = make_engine()
    async with migration.begin() as connection:
        await connection.execute(text("ALTER TABLE orders ADD cups int"))
    await migration.dispose()
    async with AsyncSession(engine) as session:
        await session.execute(orders)


async def test_asyncpg_connects_within_a_task_only(database_url: str) -> None:
    said = asyncio.get_running_loop().create_future()

    def outside_of_any_task() -> None:
        connecting = asyncpg.connect(dsn_of(database_url))
        try:
            connecting.send(None)
        except RuntimeError as error:
            said.set_result(str(error))

    asyncio.get_running_loop().call_soon(outside_of_any_task)
    assert await said == "Timeout should be used inside a task"


async def test_a_connect_event_awaits_the_driver_by_run_async(engine: AsyncEngine) -> None:
    def register(dbapi_connection: object, _: object) -> None:
        dbapi_connection.run_async(  # type: ignore[attr-defined]
            lambda connection: connection.set_type_codec(
                "json", schema="pg_catalog", encoder=str, decoder=lambda value: f"<{value}>"
            )
        )

    await engine.dispose()
    event.listen(engine.sync_engine, "connect", register)
    async with engine.connect() as connection:
        assert await (await driver(connection)).fetchval("SELECT '1'::json") == "<1>"


async def test_tasks_inherit_a_session_that_a_context_variable_scopes(engine: AsyncEngine) -> None:
    scope = ContextVar("scope", default="none")
    scope.set("a request")
    scoped = async_scoped_session(async_sessionmaker(engine), scopefunc=scope.get)

    async def its_own() -> AsyncSession:
        return scoped()

    one, other = await asyncio.gather(its_own(), its_own())
    assert one is other
    await scoped.remove()
