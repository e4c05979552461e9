"""What the page on the pool says beyond the lines its snippets print."""

import asyncio
import inspect
from time import perf_counter

import asyncpg  # type: ignore[import-untyped]
import pytest
from sqlalchemy import event, text
from sqlalchemy.exc import DBAPIError
from sqlalchemy.ext.asyncio import (
    AsyncConnection,
    AsyncEngine,
    AsyncSession,
    create_async_engine,
)
from sqlalchemy.orm import DeclarativeBase, Mapped, mapped_column
from sqlalchemy.pool import AsyncAdaptedQueuePool, NullPool

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


async def use(engine: AsyncEngine) -> int:
    """Run a session to its end; the pid of the backend that served it."""
    async with AsyncSession(engine) as session:
        pid: int = (await session.scalars(BACKEND)).one()
        return pid


async def test_an_async_engine_has_a_queue_pool_of_five_and_ten(database_url: str) -> None:
    engine = create_async_engine(database_url)
    assert type(engine.pool) is AsyncAdaptedQueuePool
    sessions = [AsyncSession(engine) for _ in range(15)]
    for session in sessions:
        await session.execute(BACKEND)
    assert (engine.pool.size(), engine.pool.overflow()) == (5, 10)
    for session in sessions:
        await session.close()
    await engine.dispose()


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
    async with asyncpg.create_pool(database_url.replace("+asyncpg", "")):
        assert len(await backends(watcher)) == 10


async def test_over_a_pool_of_asyncpg_the_smaller_limit_makes_borrowers_wait(
    database_url: str,
) -> None:
    inner = await asyncpg.create_pool(database_url.replace("+asyncpg", ""), min_size=1, max_size=1)
    engine = create_async_engine("postgresql+asyncpg://", async_creator=inner.acquire)
    async with engine.connect() as one:
        await one.execute(BACKEND)
        with pytest.raises(TimeoutError):
            async with asyncio.timeout(0.5):
                await engine.connect()
    assert (inner.get_size(), inner.get_idle_size()) == (1, 0)
    await engine.dispose()
    await inner.close()


async def test_every_new_connection_is_served_by_a_new_backend(
    database_url: str, watcher: AsyncConnection
) -> None:
    engine = create_async_engine(database_url)
    pids = await fill(engine, 5)
    assert {pid for pid, *_ in await backends(watcher)} == set(pids)
    assert len(set(pids)) == 5
    await engine.dispose()
    assert await backends(watcher) == []


async def test_two_sessions_at_once_never_share_a_connection(database_url: str) -> None:
    engine = create_async_engine(database_url)
    async with AsyncSession(engine) as one, AsyncSession(engine) as another:
        assert await one.scalar(BACKEND) != await another.scalar(BACKEND)
    await engine.dispose()


async def test_the_connection_that_rested_longest_is_lent_first(database_url: str) -> None:
    engine = create_async_engine(database_url)
    pids = await fill(engine, 3)
    assert [await use(engine) for _ in range(6)] == pids * 2
    await engine.dispose()


async def test_with_lifo_the_connection_returned_last_is_lent_first(database_url: str) -> None:
    engine = create_async_engine(database_url, pool_use_lifo=True)
    pids = await fill(engine, 3)
    assert [await use(engine) for _ in range(6)] == [pids[-1]] * 6
    await engine.dispose()


async def test_overflow_connections_are_closed_as_they_come_back(
    database_url: str, watcher: AsyncConnection
) -> None:
    engine = create_async_engine(database_url, pool_size=2, max_overflow=3)
    sessions = [AsyncSession(engine) for _ in range(5)]
    for session in sessions:
        await session.execute(BACKEND)
    left = []
    for session in sessions:
        await session.close()
        left.append(len(await backends(watcher)))
    assert left == [5, 5, 4, 3, 2]
    await engine.dispose()


async def test_recycle_closes_nothing_before_the_next_checkout(
    database_url: str, watcher: AsyncConnection
) -> None:
    engine = create_async_engine(database_url, pool_recycle=0)
    pid = await use(engine)
    assert [(found, state) for found, state, *_ in await backends(watcher)] == [(pid, "idle")]
    assert await use(engine) != pid
    assert pid not in [found for found, *_ in await backends(watcher)]
    await engine.dispose()


async def test_a_broken_connection_is_replaced_at_the_next_checkout(
    database_url: str, watcher: AsyncConnection
) -> None:
    engine = create_async_engine(database_url)
    pid = await use(engine)
    await watcher.execute(text("SELECT pg_terminate_backend(:pid, 5000)"), {"pid": pid})
    with pytest.raises(DBAPIError):
        await use(engine)
    new = await use(engine)
    assert [found for found, *_ in await backends(watcher)] == [new]
    await engine.dispose()


async def test_status_does_not_notice_that_the_server_dropped_its_connections(
    database_url: str, watcher: AsyncConnection
) -> None:
    engine = create_async_engine(database_url)
    for pid in await fill(engine, 3):
        await watcher.execute(text("SELECT pg_terminate_backend(:pid, 5000)"), {"pid": pid})
    assert await backends(watcher) == []
    assert "Connections in pool: 3" in engine.pool.status()
    await engine.dispose()


async def test_add_borrows_nothing_and_flush_does(database_url: str) -> None:
    engine = create_async_engine(database_url)
    async with engine.begin() as connection:
        await connection.run_sync(Base.metadata.create_all)
    borrowed: list[object] = []
    event.listen(engine.sync_engine, "checkout", lambda *seen: borrowed.append(seen))
    async with AsyncSession(engine) as session:
        session.add(Order(drink="longjing"))
        assert not borrowed
        await session.flush()
        assert len(borrowed) == 1
    await engine.dispose()


async def test_a_session_without_sql_never_borrows(database_url: str) -> None:
    engine = create_async_engine(database_url)
    borrowed: list[object] = []
    event.listen(engine.sync_engine, "checkout", lambda *seen: borrowed.append(seen))
    async with AsyncSession(engine) as session, session.begin():
        pass
    assert not borrowed


async def test_after_commit_another_session_can_take_the_connection(database_url: str) -> None:
    engine = create_async_engine(database_url, pool_size=1, max_overflow=0, pool_timeout=5)
    async with AsyncSession(engine) as session:
        await session.execute(BACKEND)
        await session.commit()
        await use(engine)
    await engine.dispose()


async def test_a_running_statement_is_active(database_url: str) -> None:
    engine = create_async_engine(database_url)
    own_state = text("SELECT state FROM pg_stat_activity WHERE pid = pg_backend_pid()")
    async with AsyncSession(engine) as session:
        assert await session.scalar(own_state) == "active"
    await engine.dispose()


async def test_a_lent_connection_outside_a_transaction_is_plainly_idle(
    database_url: str, watcher: AsyncConnection
) -> None:
    engine = create_async_engine(database_url)
    async with engine.connect() as committed:
        await committed.execute(BACKEND)
        await committed.commit()
        assert [state for _, state, *_ in await backends(watcher)] == ["idle"]
    autocommit = engine.execution_options(isolation_level="AUTOCOMMIT")
    async with autocommit.connect() as connection:
        await connection.execute(BACKEND)
        assert [state for _, state, *_ in await backends(watcher)] == ["idle"]
    await engine.dispose()


async def test_the_reset_on_return_ends_a_transaction_and_leaves_a_committed_setting(
    database_url: str,
) -> None:
    engine = create_async_engine(database_url)
    name = text("SHOW application_name")
    async with engine.connect() as connection:
        await connection.execute(text("SET application_name = 'committed'"))
        await connection.commit()
        await connection.execute(text("SET application_name = 'open'"))
    async with engine.connect() as connection:
        assert await connection.scalar(name) == "committed"
    await engine.dispose()


async def test_borrowing_and_returning_sends_nothing(
    database_url: str, watcher: AsyncConnection
) -> None:
    engine = create_async_engine(database_url)
    await use(engine)
    before = await backends(watcher)
    async with engine.connect():
        pass
    assert await backends(watcher) == before
    await engine.dispose()


async def test_two_engines_have_pools_that_know_nothing_of_each_other(database_url: str) -> None:
    one, another = create_async_engine(database_url), create_async_engine(database_url)
    assert await use(one) != await use(another)
    await one.dispose()
    assert "Connections in pool: 1" in another.pool.status()
    await another.dispose()


async def test_opening_takes_over_three_times_as_long_as_borrowing(database_url: str) -> None:
    unpooled = create_async_engine(database_url, poolclass=NullPool)
    pooled = create_async_engine(database_url)
    times: dict[AsyncEngine, list[float]] = {unpooled: [], pooled: []}
    for _ in range(30):
        for engine, taken in times.items():
            start = perf_counter()
            await use(engine)
            taken.append(perf_counter() - start)
    # The medians of a busy machine come close to each other, the best times do not.
    assert min(times[unpooled]) > 3 * min(times[pooled])
    await pooled.dispose()
