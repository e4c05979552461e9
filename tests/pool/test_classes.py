"""What the page on pool classes says beyond what its snippets print."""

import asyncio
import os
import signal
import sys
from asyncio.subprocess import PIPE
from typing import Any

import pytest
import sqlalchemy.pool
from sqlalchemy import event, make_url, text
from sqlalchemy.exc import InterfaceError, SADeprecationWarning
from sqlalchemy.ext.asyncio import AsyncConnection, AsyncEngine, AsyncSession, create_async_engine
from sqlalchemy.pool import AssertionPool, AsyncAdaptedQueuePool, NullPool, StaticPool

from tests.asking import OTHERS
from tests.pools import (
    MakeEngine,
    backend_of,
    engine_for,
    leaves_open,
    record_queries,
    with_psycopg,
)
from tests.versions import IS_2_0
from tests.waiting import eventually

BACKEND = text("SELECT pg_backend_pid()")


def opened(engine: AsyncEngine) -> list[object]:
    """A list that grows with each connection that the engine opens."""
    seen: list[object] = []
    event.listen(engine.sync_engine, "connect", lambda connection, _: seen.append(connection))
    return seen


async def test_nullpool_keeps_nothing_from_one_transaction_to_the_next(
    make_engine: MakeEngine,
) -> None:
    engine = make_engine(poolclass=NullPool)
    async with AsyncSession(engine) as session:
        await session.execute(text("CREATE TEMPORARY TABLE tray (drink text)"))
        first = await session.scalar(BACKEND)
        await session.commit()
        assert await session.scalar(BACKEND) != first
        assert await session.scalar(text("SELECT to_regclass('tray')")) is None


async def test_a_connection_of_an_engine_stays_one_however_often_it_commits(
    make_engine: MakeEngine,
) -> None:
    engine = make_engine(poolclass=NullPool)
    connections = opened(engine)
    async with engine.connect() as connection:
        for _ in range(3):
            await connection.execute(BACKEND)
            await connection.commit()
    assert len(connections) == 1


@leaves_open
async def test_a_static_pool_opens_two_if_two_tasks_ask_first_at_the_same_time(
    make_engine: MakeEngine, watcher: AsyncConnection
) -> None:
    engine = make_engine(poolclass=StaticPool)
    connections = opened(engine)
    await asyncio.gather(backend_of(engine), backend_of(engine))
    assert len(connections) == 2
    assert await watcher.scalar(OTHERS) == 2
    connections.clear()  # which alone had kept the one that the pool does not know

    async def one_is_left() -> bool:
        return bool(await watcher.scalar(OTHERS) == 1)

    await eventually("one is left", one_is_left)


@pytest.mark.parametrize("poolclass", [StaticPool, AssertionPool])
async def test_static_and_assertion_pool_open_once_and_keep_it(
    make_engine: MakeEngine, watcher: AsyncConnection, poolclass: type[sqlalchemy.pool.Pool]
) -> None:
    engine = make_engine(poolclass=poolclass)
    connections = opened(engine)
    assert await backend_of(engine) == await backend_of(engine)
    assert (len(connections), await watcher.scalar(OTHERS)) == (1, 1)


async def test_a_leaked_session_leaks_without_a_pool_too(
    make_engine: MakeEngine, watcher: AsyncConnection
) -> None:
    engine = make_engine(poolclass=NullPool)
    forgotten = AsyncSession(engine)
    await forgotten.execute(BACKEND)
    assert await watcher.scalar(OTHERS) == 1
    await forgotten.close()


STOPPED = """
import asyncio, os, sys
from sqlalchemy import text
from sqlalchemy.ext.asyncio import create_async_engine
from sqlalchemy.pool import AsyncAdaptedQueuePool, NullPool

engine = create_async_engine(os.environ["DATABASE_URL"], poolclass={})

async def main():
    async with engine.connect() as connection:
        await connection.execute(text("SELECT 1"))
    print("returned", flush=True)
    await asyncio.to_thread(sys.stdin.readline)

asyncio.run(main())
"""


@pytest.mark.parametrize(("poolclass", "left"), [("AsyncAdaptedQueuePool", 1), ("NullPool", 0)])
async def test_a_stopped_process_keeps_its_pooled_connections_at_the_server(
    database_url: str, watcher: AsyncConnection, poolclass: str, left: int
) -> None:
    process = await asyncio.create_subprocess_exec(
        sys.executable,
        "-c",
        STOPPED.format(poolclass),
        stdin=PIPE,
        stdout=PIPE,
        env={**os.environ, "DATABASE_URL": database_url},
    )
    try:
        assert process.stdout
        assert await process.stdout.readline() == b"returned\n"
        process.send_signal(signal.SIGSTOP)

        async def closed() -> bool:
            return int(await watcher.scalar(OTHERS) or 0) <= left

        await eventually(f"no more than {left} backends are left", closed)
        assert await watcher.scalar(OTHERS) == left
    finally:
        process.kill()
        await process.communicate()


@pytest.mark.parametrize(
    "option", [{"pool_size": 5}, {"max_overflow": 1}, {"pool_timeout": 3}, {"pool_use_lifo": True}]
)
def test_nullpool_takes_none_of_the_arguments_of_a_queue(
    database_url: str, option: dict[str, Any]
) -> None:
    with pytest.raises(TypeError, match=rf"^Invalid argument\(s\) '{next(iter(option))}' sent to"):
        create_async_engine(database_url, poolclass=NullPool, **option)


async def test_the_driver_does_not_know_pool_size_either(make_engine: MakeEngine) -> None:
    engine = make_engine(poolclass=NullPool, connect_args={"pool_size": 5, "max_overflow": 10})
    with pytest.raises(TypeError, match="unexpected keyword argument 'pool_size'"):
        await engine.connect()


async def test_pre_ping_and_recycle_do_nothing_to_nullpool(make_engine: MakeEngine) -> None:
    engine = make_engine(poolclass=NullPool, pool_pre_ping=True, pool_recycle=0)
    sent = record_queries(engine)
    await backend_of(engine)
    assert sent == ["BEGIN;", "ROLLBACK;"]


def test_the_refusal_names_the_dialect_of_psycopg() -> None:
    with pytest.raises(TypeError, match="configuration PGDialectAsync_psycopg/NullPool/Engine"):
        create_async_engine("postgresql+psycopg://", poolclass=NullPool, pool_size=5)


def test_a_class_derived_from_the_default_pool_is_accepted(database_url: str) -> None:
    class OurPool(AsyncAdaptedQueuePool):
        pass

    assert type(create_async_engine(database_url, poolclass=OurPool).pool) is OurPool


@pytest.mark.parametrize(("driver", "collide"), [("asyncpg", True), ("psycopg", False)])
async def test_two_tasks_on_a_static_pool_get_in_each_others_way_with_asyncpg(
    database_url: str, make_engine: MakeEngine, driver: str, collide: bool
) -> None:
    engine = engine_for(make_engine, database_url, driver, poolclass=StaticPool)
    await backend_of(engine)
    together = asyncio.Barrier(2)

    async def wait_a_little(seconds: float) -> None:
        async with AsyncSession(engine) as session:
            await together.wait()
            await session.execute(text("SELECT pg_sleep(:seconds)"), {"seconds": seconds})

    outcomes = await asyncio.gather(wait_a_little(0.2), wait_a_little(0.2), return_exceptions=True)
    errors = [outcome for outcome in outcomes if isinstance(outcome, InterfaceError)]
    assert bool(errors) is collide
    assert collide or not any(outcomes)


async def test_the_commit_of_a_session_upon_one_connection_is_real_without_an_outer_transaction(
    make_engine: MakeEngine,
) -> None:
    engine = make_engine()
    async with engine.begin() as connection:
        await connection.execute(text("CREATE TABLE orders (drink text)"))
    async with engine.connect() as connection, AsyncSession(connection) as session:
        await session.execute(text("INSERT INTO orders VALUES ('oolong')"))
        await session.commit()
    async with engine.connect() as connection:
        assert await connection.scalar(text("SELECT count(*) FROM orders")) == 1


async def test_in_an_outer_transaction_now_stands_still_and_deferred_constraints_wait(
    make_engine: MakeEngine,
) -> None:
    engine = make_engine()
    async with engine.connect() as connection:
        outer = await connection.begin()
        async with AsyncSession(connection, join_transaction_mode="create_savepoint") as session:
            await session.execute(text("CREATE TABLE cups (id int PRIMARY KEY)"))
            await session.execute(
                text("CREATE TABLE orders (cup int REFERENCES cups DEFERRABLE INITIALLY DEFERRED)")
            )
            first = await session.scalar(text("SELECT now()"))
            await session.execute(text("INSERT INTO orders VALUES (7)"))
            await session.commit()
            assert await session.scalar(text("SELECT now()")) == first
        await outer.rollback()


def test_the_default_mode_is_the_conditional_savepoint() -> None:
    assert AsyncSession().sync_session.join_transaction_mode == "conditional_savepoint"


@leaves_open
async def test_assertion_pool_loses_count_if_two_tasks_ask_while_it_connects(
    make_engine: MakeEngine,
) -> None:
    engine = make_engine(poolclass=AssertionPool)
    together = asyncio.Barrier(2)

    async def borrow() -> None:
        async with engine.connect():
            await together.wait()

    outcomes = await asyncio.gather(borrow(), borrow(), return_exceptions=True)
    said = [str(outcome) for outcome in outcomes if isinstance(outcome, AssertionError)]
    assert said
    assert not any("already checked out" in one for one in said)


def test_a_pooled_connection_of_psycopg_serves_a_second_event_loop(database_url: str) -> None:
    url = with_psycopg(database_url)
    engine = create_async_engine(url)
    with asyncio.Runner() as morning, asyncio.Runner() as evening:
        assert morning.run(backend_of(engine)) == evening.run(backend_of(engine))
        evening.run(engine.dispose())


async def test_the_fallback_pool_is_gone_in_2_1_and_its_parameter_fails(
    database_url: str, make_engine: MakeEngine
) -> None:
    assert hasattr(sqlalchemy.pool, "FallbackAsyncAdaptedQueuePool") is IS_2_0
    url = make_url(database_url).set(query={"async_fallback": "true"})
    if not IS_2_0:
        engine = make_engine(url)
        assert type(engine.pool) is AsyncAdaptedQueuePool
        with pytest.raises(TypeError, match="unexpected keyword argument 'async_fallback'"):
            await engine.connect()
    else:
        with pytest.warns(SADeprecationWarning, match="async_fallback"):
            engine = make_engine(url)
        assert type(engine.pool).__name__ == "FallbackAsyncAdaptedQueuePool"
