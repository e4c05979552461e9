"""What the page on the pool says beyond the lines its snippets print."""

import asyncio
import inspect

import asyncpg  # type: ignore[import-untyped]
import pytest
from sqlalchemy import event, text
from sqlalchemy.exc import DBAPIError, IntegrityError
from sqlalchemy.ext.asyncio import (
    AsyncConnection,
    AsyncEngine,
    AsyncSession,
    create_async_engine,
)
from sqlalchemy.orm import DeclarativeBase, Mapped, mapped_column
from sqlalchemy.pool import AsyncAdaptedQueuePool

from tests.asking import end_backend
from tests.pools import (
    MakeEngine,
    backend_of,
    both_drivers,
    checked_out,
    engine_for,
    pool_of,
    record,
)
from tests.waiting import eventually
from tools.postgres import dsn_of

BACKEND = text("SELECT pg_backend_pid()")


class Base(DeclarativeBase):
    pass


class Order(Base):
    __tablename__ = "orders"

    id: Mapped[int] = mapped_column(primary_key=True)
    drink: Mapped[str]


async def backends(watcher: AsyncConnection) -> list[tuple[int, str, str, object]]:
    """The other connections to this database: pid, state, query, time of the last change."""
    rows = await watcher.execute(
        text(
            "SELECT pid, state, query, state_change FROM pg_stat_activity"
            " WHERE datname = current_database() AND pid <> pg_backend_pid()"
        )
    )
    return [(row.pid, row.state, row.query, row.state_change) for row in rows]


async def fill(engine: AsyncEngine, size: int) -> list[int]:
    """Make the pool hold this many connections; their pids in the order they will be lent."""
    connections = [await engine.connect() for _ in range(size)]
    pids = [(await connection.scalars(BACKEND)).one() for connection in connections]
    for connection in connections:
        await connection.close()
    return pids


async def test_an_async_engine_has_a_queue_pool_of_five_and_ten(make_engine: MakeEngine) -> None:
    engine = make_engine()
    assert type(engine.pool) is AsyncAdaptedQueuePool
    sessions = [AsyncSession(engine) for _ in range(15)]
    for session in sessions:
        await session.execute(BACKEND)
    assert (engine.pool.size(), engine.pool.overflow()) == (5, 10)
    for session in sessions:
        await session.close()


async def test_an_engine_is_made_without_a_server_and_fails_at_the_first_sql() -> None:
    engine = create_async_engine("postgresql+asyncpg://tea:secret@127.0.0.1:1/tea")
    async with AsyncSession(engine) as session:
        await session.begin()
        with pytest.raises(ConnectionRefusedError):
            await session.execute(BACKEND)


async def test_the_pool_of_asyncpg_opens_ten_connections_in_advance(
    database_url: str, watcher: AsyncConnection
) -> None:
    assert inspect.signature(asyncpg.create_pool).parameters["min_size"].default == 10
    async with asyncpg.create_pool(dsn_of(database_url)):
        assert len(await backends(watcher)) == 10


async def test_over_a_pool_of_asyncpg_the_smaller_limit_makes_borrowers_wait(
    database_url: str,
    make_engine: MakeEngine,
) -> None:
    inner = await asyncpg.create_pool(dsn_of(database_url), min_size=1, max_size=1)
    engine = make_engine("postgresql+asyncpg://", async_creator=inner.acquire)
    async with engine.connect() as one:
        await one.execute(BACKEND)
        with pytest.raises(TimeoutError):
            async with asyncio.timeout(0.5):
                await engine.connect()
    assert (inner.get_size(), inner.get_idle_size()) == (1, 0)
    await engine.dispose()
    await inner.close()


async def test_every_new_connection_is_served_by_a_new_backend(
    make_engine: MakeEngine, watcher: AsyncConnection
) -> None:
    engine = make_engine()
    pids = await fill(engine, 5)
    assert {pid for pid, *_ in await backends(watcher)} == set(pids)
    assert len(set(pids)) == 5
    await engine.dispose()
    assert await backends(watcher) == []


async def test_two_sessions_at_once_never_share_a_connection(make_engine: MakeEngine) -> None:
    engine = make_engine()
    async with AsyncSession(engine) as one, AsyncSession(engine) as another:
        assert await one.scalar(BACKEND) != await another.scalar(BACKEND)


async def test_the_connection_that_rested_longest_is_lent_first(make_engine: MakeEngine) -> None:
    engine = make_engine()
    pids = await fill(engine, 3)
    assert [await backend_of(engine) for _ in range(6)] == pids * 2


async def test_with_lifo_the_connection_returned_last_is_lent_first(
    make_engine: MakeEngine,
) -> None:
    engine = make_engine(pool_use_lifo=True)
    pids = await fill(engine, 3)
    assert [await backend_of(engine) for _ in range(6)] == [pids[-1]] * 6


async def test_overflow_connections_are_closed_as_they_come_back(
    make_engine: MakeEngine, watcher: AsyncConnection
) -> None:
    engine = make_engine(pool_size=2, max_overflow=3)
    sessions = [AsyncSession(engine) for _ in range(5)]
    for session in sessions:
        await session.execute(BACKEND)
    left = []
    for session in sessions:
        await session.close()
        left.append(len(await backends(watcher)))
    assert left == [5, 5, 4, 3, 2]


async def test_recycle_closes_nothing_before_the_next_checkout(
    make_engine: MakeEngine, watcher: AsyncConnection
) -> None:
    engine = make_engine(pool_recycle=0)
    pid = await backend_of(engine)
    assert [(found, state) for found, state, *_ in await backends(watcher)] == [(pid, "idle")]
    assert await backend_of(engine) != pid
    assert pid not in [found for found, *_ in await backends(watcher)]


async def test_a_broken_connection_is_replaced_at_the_next_checkout(
    make_engine: MakeEngine, watcher: AsyncConnection
) -> None:
    engine = make_engine()
    pid = await backend_of(engine)
    await end_backend(watcher, pid)
    with pytest.raises(DBAPIError):
        await backend_of(engine)
    new = await backend_of(engine)
    assert [found for found, *_ in await backends(watcher)] == [new]


async def test_status_does_not_notice_that_the_server_dropped_its_connections(
    make_engine: MakeEngine, watcher: AsyncConnection
) -> None:
    engine = make_engine()
    for pid in await fill(engine, 3):
        await end_backend(watcher, pid)
    assert await backends(watcher) == []
    assert "Connections in pool: 3" in engine.pool.status()


async def test_add_borrows_nothing_and_flush_does(make_engine: MakeEngine) -> None:
    engine = make_engine()
    async with engine.begin() as connection:
        await connection.run_sync(Base.metadata.create_all)
    borrowed: list[object] = []
    event.listen(engine.sync_engine, "checkout", lambda *seen: borrowed.append(seen))
    async with AsyncSession(engine) as session:
        session.add(Order(drink="longjing"))
        assert not borrowed
        await session.flush()
        assert len(borrowed) == 1


async def test_a_session_without_sql_never_borrows(make_engine: MakeEngine) -> None:
    engine = make_engine()
    borrowed: list[object] = []
    event.listen(engine.sync_engine, "checkout", lambda *seen: borrowed.append(seen))
    async with AsyncSession(engine) as session, session.begin():
        pass
    assert not borrowed


async def test_after_commit_another_session_can_take_the_connection(
    make_engine: MakeEngine,
) -> None:
    engine = make_engine(pool_size=1, max_overflow=0, pool_timeout=5)
    async with AsyncSession(engine) as session:
        await session.execute(BACKEND)
        await session.commit()
        async with AsyncSession(engine) as another:
            await another.execute(BACKEND)


async def test_a_running_statement_is_active(make_engine: MakeEngine) -> None:
    engine = make_engine()
    own_state = text("SELECT state FROM pg_stat_activity WHERE pid = pg_backend_pid()")
    async with AsyncSession(engine) as session:
        assert await session.scalar(own_state) == "active"


async def test_a_lent_connection_outside_a_transaction_is_plainly_idle(
    make_engine: MakeEngine, watcher: AsyncConnection
) -> None:
    engine = make_engine()
    async with engine.connect() as committed:
        await committed.execute(BACKEND)
        await committed.commit()
        assert [state for _, state, *_ in await backends(watcher)] == ["idle"]
    autocommit = engine.execution_options(isolation_level="AUTOCOMMIT")
    async with autocommit.connect() as connection:
        await connection.execute(BACKEND)
        assert [state for _, state, *_ in await backends(watcher)] == ["idle"]


async def test_the_reset_on_return_ends_a_transaction_and_leaves_a_committed_setting(
    make_engine: MakeEngine,
) -> None:
    engine = make_engine()
    name = text("SHOW application_name")
    async with engine.connect() as connection:
        await connection.execute(text("SET application_name = 'committed'"))
        await connection.commit()
        await connection.execute(text("SET application_name = 'open'"))
    async with engine.connect() as connection:
        assert await connection.scalar(name) == "committed"


async def test_borrowing_and_returning_sends_nothing(
    make_engine: MakeEngine, watcher: AsyncConnection
) -> None:
    engine = make_engine()
    await backend_of(engine)
    before = await backends(watcher)
    async with engine.connect():
        pass
    assert await backends(watcher) == before


async def test_two_engines_have_pools_that_know_nothing_of_each_other(
    make_engine: MakeEngine,
) -> None:
    one, another = make_engine(), make_engine()
    assert await backend_of(one) != await backend_of(another)
    await one.dispose()
    assert "Connections in pool: 1" in another.pool.status()
    await another.dispose()


async def test_a_place_counts_though_its_connection_is_gone(
    make_engine: MakeEngine, watcher: AsyncConnection
) -> None:
    engine = make_engine()
    async with AsyncSession(engine) as session:
        await session.execute(BACKEND)
        await session.invalidate()
    pool = pool_of(engine)
    assert await backends(watcher) == []
    assert (pool.size() + pool.overflow(), pool.checkedin()) == (1, 1)


@both_drivers
async def test_a_connection_whose_query_is_cancelled_is_closed(
    make_engine: MakeEngine, database_url: str, watcher: AsyncConnection, driver: str
) -> None:
    engine = engine_for(make_engine, database_url, driver)
    happened = record(engine, "close")

    async def brew() -> None:
        async with AsyncSession(engine) as session:
            await session.execute(text("SELECT pg_sleep(60)"))

    async def runs() -> bool:
        return any(
            (state, query) == ("active", "SELECT pg_sleep(60)")
            for _, state, query, _ in await backends(watcher)
        )

    brewing = asyncio.create_task(brew())
    await eventually("the query runs", runs)
    brewing.cancel()
    await asyncio.wait([brewing])
    assert happened == ["close"]


async def test_a_failed_flush_ends_the_transaction_and_keeps_the_connection(
    make_engine: MakeEngine, watcher: AsyncConnection
) -> None:
    engine = make_engine()
    async with engine.begin() as connection:
        await connection.run_sync(Base.metadata.create_all)
    async with AsyncSession(engine) as session:
        session.add(Order(id=1, drink="oolong"))
        await session.commit()
        session.add(Order(id=1, drink="longjing"))
        with pytest.raises(IntegrityError):
            await session.flush()
        ((_, state, query, _),) = await backends(watcher)
        assert (state, query, checked_out(engine)) == ("idle", "ROLLBACK;", 1)
        await session.rollback()
        assert checked_out(engine) == 0


async def test_in_autocommit_a_returned_connection_shows_its_last_statement(
    make_engine: MakeEngine, watcher: AsyncConnection
) -> None:
    engine = make_engine(isolation_level="AUTOCOMMIT")
    await backend_of(engine)
    ((_, state, query, _),) = await backends(watcher)
    assert (state, query) == ("idle", BACKEND.text)
