"""What the page on holding a connection claims beyond the lines that its snippets print."""

import asyncio
import os
import sys
from contextlib import nullcontext, suppress
from datetime import datetime

import asyncpg  # type: ignore[import-untyped]
import pytest
from sqlalchemy import event, func, select, text
from sqlalchemy.exc import (
    ArgumentError,
    DBAPIError,
    IntegrityError,
    MissingGreenlet,
    PendingRollbackError,
)
from sqlalchemy.ext.asyncio import (
    AsyncAttrs,
    AsyncConnection,
    AsyncEngine,
    AsyncSession,
    async_sessionmaker,
    create_async_engine,
)
from sqlalchemy.orm import DeclarativeBase, Mapped, mapped_column
from sqlalchemy.orm.exc import DetachedInstanceError
from sqlalchemy.pool import AsyncAdaptedQueuePool, NullPool, QueuePool

from tests.asking import end_backend, until_ended
from tests.pools import MakeEngine, checked_out, one_connection
from tests.waiting import eventually
from tools.postgres import dsn_of

BACKEND = text("SELECT pg_backend_pid()")
LOCK = text("SELECT pg_advisory_lock(7)")
TRY_LOCK = text("SELECT pg_try_advisory_lock(7)")
UNLOCK = text("SELECT pg_advisory_unlock(7)")


class Base(AsyncAttrs, DeclarativeBase):
    pass


class Order(Base):
    __tablename__ = "orders"
    id: Mapped[int] = mapped_column(primary_key=True)
    drink: Mapped[str] = mapped_column(unique=True)
    cups: Mapped[int] = mapped_column(server_default="2")


@pytest.fixture
async def engine(make_engine: MakeEngine) -> AsyncEngine:
    """An engine that lends a single connection, and lets nobody wait for it."""
    engine = one_connection(make_engine)
    async with engine.begin() as connection:
        await connection.run_sync(Base.metadata.create_all)
    return engine


# in_transaction()


async def test_begin_counts_as_in_transaction_and_borrows_nothing(engine: AsyncEngine) -> None:
    async with AsyncSession(engine) as session:
        await session.begin()
        assert (session.in_transaction(), checked_out(engine)) == (True, 0)


async def test_asking_for_the_connection_borrows_it_without_sql(
    engine: AsyncEngine, watcher: AsyncConnection
) -> None:
    state = text("SELECT state FROM pg_stat_activity WHERE pid = :pid")
    async with AsyncSession(engine) as session:
        pid = await session.scalar(BACKEND)
        await session.commit()
        assert checked_out(engine) == 0
        await session.connection()
        assert (session.in_transaction(), checked_out(engine)) == (True, 1)
        assert await watcher.scalar(state, {"pid": pid}) == "idle"


async def test_a_failed_flush_keeps_its_connection_and_stays_in_transaction(
    engine: AsyncEngine,
) -> None:
    async with AsyncSession(engine) as session:
        session.add_all([Order(drink="oolong"), Order(drink="oolong")])
        with pytest.raises(IntegrityError):
            await session.flush()
        assert (session.in_transaction(), checked_out(engine)) == (True, 1)


async def test_a_failed_commit_keeps_its_connection_until_rollback(
    engine: AsyncEngine, watcher: AsyncConnection
) -> None:
    state = text("SELECT state FROM pg_stat_activity WHERE pid = :pid")
    unique = text("CREATE TABLE tray (id int UNIQUE DEFERRABLE INITIALLY DEFERRED)")
    await watcher.execute(unique)
    async with AsyncSession(engine) as session:
        pid = await session.scalar(BACKEND)
        await session.execute(text("INSERT INTO tray VALUES (1), (1)"))
        with pytest.raises(IntegrityError):
            await session.commit()
        assert (session.in_transaction(), checked_out(engine)) == (True, 1)
        assert await watcher.scalar(state, {"pid": pid}) == "idle"
        await session.rollback()
        assert checked_out(engine) == 0


async def test_a_session_with_binds_holds_a_connection_of_each_engine(
    engine: AsyncEngine, make_engine: MakeEngine
) -> None:
    class Other(DeclarativeBase):
        pass

    class Pot(Other):
        __tablename__ = "pots"
        id: Mapped[int] = mapped_column(primary_key=True)

    other = make_engine()
    async with other.begin() as connection:
        await connection.run_sync(Other.metadata.create_all)
    async with AsyncSession(binds={Base: engine, Other: other}) as session:
        await session.scalars(select(Order))
        assert (checked_out(engine), checked_out(other)) == (1, 0)
        await session.scalars(select(Pot))
        assert (checked_out(engine), checked_out(other)) == (1, 1)


async def test_autocommit_counts_as_in_transaction(engine: AsyncEngine) -> None:
    async with AsyncSession(engine.execution_options(isolation_level="AUTOCOMMIT")) as session:
        await session.execute(BACKEND)
        assert (session.in_transaction(), checked_out(engine)) == (True, 1)


async def test_a_broken_connection_counts_as_lent_until_a_statement_notices(
    engine: AsyncEngine, watcher: AsyncConnection
) -> None:
    async with AsyncSession(engine) as session:
        await end_backend(watcher, await session.scalar(BACKEND))
        assert (session.in_transaction(), checked_out(engine)) == (True, 1)
        with pytest.raises(DBAPIError):
            await session.execute(BACKEND)


async def test_a_broken_connection_is_lent_no_more_but_the_session_stays_in_transaction(
    engine: AsyncEngine, watcher: AsyncConnection
) -> None:
    async with AsyncSession(engine) as session:
        pid = await session.scalar(BACKEND)
        await end_backend(watcher, pid)
        with pytest.raises(DBAPIError):
            await session.execute(BACKEND)
        assert (session.in_transaction(), checked_out(engine)) == (True, 0)
        with pytest.raises(PendingRollbackError):
            await session.execute(BACKEND)


# Between transactions


async def test_with_a_single_connection_a_temporary_table_is_there_every_time(
    engine: AsyncEngine,
) -> None:
    async with AsyncSession(engine) as session:
        await session.execute(text("CREATE TEMPORARY TABLE tray (drink text)"))
        for _ in range(3):
            await session.commit()
            assert await session.scalar(text("SELECT to_regclass('tray') IS NOT NULL"))


async def test_a_session_upon_a_connection_keeps_its_backend_and_still_commits(
    make_engine: MakeEngine,
) -> None:
    engine = make_engine()
    async with engine.connect(), engine.connect():
        pass
    async with engine.connect() as connection, AsyncSession(connection) as session:
        pids = set()
        for number in range(4):
            pids.add(await session.scalar(BACKEND))
            await session.execute(text(f"CREATE TABLE orders_{number} (drink text)"))
            await session.commit()
    assert len(pids) == 1
    async with AsyncSession(engine) as session:
        assert await session.scalar(text("SELECT to_regclass('orders_3') IS NOT NULL"))


# What stays behind


async def test_a_lock_of_a_rolled_back_session_is_refused_to_others_until_it_disconnects(
    engine: AsyncEngine, watcher: AsyncConnection
) -> None:
    async with AsyncSession(engine) as session:
        await session.execute(LOCK)
    assert checked_out(engine) == 0
    assert await watcher.scalar(TRY_LOCK) is False
    await engine.dispose()
    async with asyncio.timeout(10):
        await watcher.execute(LOCK)


async def test_unlocking_on_another_connection_returns_false_and_the_lock_stays(
    make_engine: MakeEngine, watcher: AsyncConnection
) -> None:
    engine = make_engine()
    async with engine.connect(), engine.connect():
        pass
    async with AsyncSession(engine) as session:
        assert await session.scalar(TRY_LOCK) is True
        await session.commit()
        assert await session.scalar(UNLOCK) is False
    assert await watcher.scalar(TRY_LOCK) is False


async def test_a_transaction_lock_is_gone_at_the_first_commit(
    engine: AsyncEngine, watcher: AsyncConnection
) -> None:
    async with AsyncSession(engine) as session:
        await session.execute(text("SELECT pg_advisory_xact_lock(7)"))
        assert await watcher.scalar(TRY_LOCK) is False
        await session.commit()
        assert await watcher.scalar(TRY_LOCK) is True


async def test_server_settings_hold_for_every_connection_whatever_is_rolled_back(
    make_engine: MakeEngine,
) -> None:
    engine = make_engine(connect_args={"server_settings": {"statement_timeout": "5s"}})
    show = text("SHOW statement_timeout")
    async with AsyncSession(engine) as one, AsyncSession(engine) as another:
        for session in (one, another, one, another):
            assert await session.scalar(show) == "5s"
            await session.rollback()


# After the commit


@pytest.mark.parametrize("expires", [False, True])
async def test_an_awaitable_attribute_borrows_again_after_commit_if_it_has_expired(
    engine: AsyncEngine, expires: bool
) -> None:
    async with AsyncSession(engine, expire_on_commit=expires) as session:
        order = Order(drink="longjing")
        session.add(order)
        await session.commit()
        assert checked_out(engine) == 0
        assert await order.awaitable_attrs.cups == 2
        assert checked_out(engine) == expires


async def test_the_flush_fetches_id_and_server_default_by_returning(engine: AsyncEngine) -> None:
    sent: list[str] = []
    event.listen(
        engine.sync_engine, "before_cursor_execute", lambda *seen: sent.append(str(seen[2]))
    )
    async with AsyncSession(engine) as session:
        session.add(Order(drink="longjing"))
        await session.flush()
    assert len(sent) == 1
    assert sent[0].endswith("RETURNING orders.id, orders.cups")


async def test_a_rollback_expires_objects_even_with_expire_on_commit_off(
    engine: AsyncEngine,
) -> None:
    async with AsyncSession(engine) as session:
        session.add(Order(drink="longjing"))
        await session.commit()
    async with AsyncSession(engine, expire_on_commit=False) as session:
        order = (await session.scalars(select(Order))).one()
        await session.commit()
        assert order.drink == "longjing"
        await session.refresh(order)
        await session.rollback()
        with pytest.raises(MissingGreenlet):
            print(order.drink)


async def test_leaving_the_block_expires_nothing(engine: AsyncEngine) -> None:
    async with AsyncSession(engine) as session:
        session.add(Order(drink="longjing"))
        await session.commit()
    async with AsyncSession(engine) as session:
        order = (await session.scalars(select(Order))).one()
    assert (order.drink, order.cups) == ("longjing", 2)


async def test_leaving_begin_by_an_exception_expires_as_a_rollback_does(
    engine: AsyncEngine,
) -> None:
    async_session = async_sessionmaker(engine, expire_on_commit=False)
    async with async_session.begin() as session:
        session.add(Order(drink="oolong"))
    with suppress(LookupError):
        async with async_session.begin() as session:
            order = (await session.scalars(select(Order))).one()
            raise LookupError
    with pytest.raises(DetachedInstanceError):
        _ = order.drink


@pytest.mark.parametrize("eager", [False, True])
async def test_an_update_expires_what_the_server_computes_and_reading_it_takes_a_connection(
    engine: AsyncEngine, eager: bool
) -> None:
    class Base(DeclarativeBase):
        pass

    class Pot(Base):
        __tablename__ = "pots"
        __mapper_args__ = {"eager_defaults": True} if eager else {}
        id: Mapped[int] = mapped_column(primary_key=True)
        tea: Mapped[str]
        updated_at: Mapped[datetime] = mapped_column(server_default=func.now(), onupdate=func.now())

    async with engine.begin() as connection:
        await connection.run_sync(Base.metadata.create_all)
    async with AsyncSession(engine, expire_on_commit=False) as session:
        pot = Pot(tea="oolong")
        session.add(pot)
        await session.commit()
        pot.tea = "pu-erh"
        await session.commit()
        assert checked_out(engine) == 0
        with nullcontext() if eager else pytest.raises(MissingGreenlet):
            assert isinstance(pot.updated_at, datetime)
        assert checked_out(engine) == (0 if eager else 1)
        await session.rollback()
        await session.refresh(pot)
        pot.tea = "sencha"
        await session.flush()
        with nullcontext() if eager else pytest.raises(MissingGreenlet):
            assert isinstance(pot.updated_at, datetime), "read before the commit"
        await session.refresh(pot)
        await session.commit()
        assert isinstance(pot.updated_at, datetime)
        assert checked_out(engine) == 0


# A request that only reads


async def test_what_a_dependency_loaded_is_unreadable_after_its_commit_unless_told(
    engine: AsyncEngine,
) -> None:
    async with AsyncSession(engine) as session:
        session.add(Order(drink="longjing"))
        await session.commit()
        order = (await session.scalars(select(Order))).one()
        await session.commit()
        with pytest.raises(MissingGreenlet):
            print(order.drink)


async def test_a_session_of_its_own_gives_a_check_its_connection_back(engine: AsyncEngine) -> None:
    async with AsyncSession(engine) as session:
        async with AsyncSession(engine) as check:
            await check.execute(BACKEND)
        assert checked_out(engine) == 0
        await session.execute(BACKEND)


# The engine


def test_the_default_pool_and_nullpool_are_allowed_and_queuepool_is_not(database_url: str) -> None:
    assert type(create_async_engine(database_url).pool) is AsyncAdaptedQueuePool
    create_async_engine(database_url, poolclass=NullPool)
    with pytest.raises(
        ArgumentError, match="Pool class QueuePool cannot be used with asyncio engine"
    ):
        create_async_engine(database_url, poolclass=QueuePool)


async def _use(engine: AsyncEngine) -> None:
    async with AsyncSession(engine) as session:
        await session.execute(BACKEND)


async def _use_and_dispose(engine: AsyncEngine) -> None:
    await _use(engine)
    await engine.dispose()


def test_a_second_event_loop_fails_with_the_connections_of_the_first(database_url: str) -> None:
    engine = create_async_engine(database_url)
    with asyncio.Runner() as first, asyncio.Runner() as second:
        first.run(_use(engine))
        with pytest.raises(RuntimeError, match="attached to a different loop"):
            second.run(_use(engine))
        first.run(engine.dispose())


def test_a_second_event_loop_works_if_the_first_disposed_of_the_engine(database_url: str) -> None:
    engine = create_async_engine(database_url)
    asyncio.run(_use_and_dispose(engine))
    asyncio.run(_use_and_dispose(engine))


def test_a_second_event_loop_works_without_a_pool(database_url: str) -> None:
    engine = create_async_engine(database_url, poolclass=NullPool)
    asyncio.run(_use(engine))
    asyncio.run(_use(engine))


BUSY = """
import asyncio, os
from sqlalchemy import text
from sqlalchemy.ext.asyncio import create_async_engine

async def wait_for_the_lock():
    async with create_async_engine(os.environ["DATABASE_URL"]).connect() as connection:
        await connection.execute(text("SELECT pg_advisory_lock(7)"))

asyncio.run(wait_for_the_lock())
"""


async def test_the_statement_of_a_killed_process_runs_on(
    database_url: str, watcher: AsyncConnection
) -> None:
    waiting = text("SELECT pid FROM pg_locks WHERE locktype = 'advisory' AND NOT granted")
    await watcher.execute(LOCK)
    process = await asyncio.create_subprocess_exec(
        sys.executable, "-c", BUSY, env={**os.environ, "DATABASE_URL": database_url}
    )
    await eventually("the statement runs", lambda: watcher.scalar(waiting))
    pid = await watcher.scalar(waiting)
    process.kill()
    await process.wait()
    assert await watcher.scalar(waiting) == pid
    await watcher.execute(UNLOCK)
    await until_ended(watcher, pid)


async def test_a_coroutine_can_open_the_connections(
    database_url: str, make_engine: MakeEngine
) -> None:
    opened: list[asyncpg.Connection] = []

    async def connect() -> asyncpg.Connection:
        opened.append(await asyncpg.connect(dsn_of(database_url)))
        return opened[-1]

    engine = make_engine("postgresql+asyncpg://", async_creator=connect)
    await _use(engine)
    await _use(engine)
    assert len(opened) == 1
