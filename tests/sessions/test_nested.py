"""What the page on nested sessions claims beyond the lines that its snippets print."""

import asyncio
import threading

import pytest
from sqlalchemy import NullPool, create_engine, exc, text
from sqlalchemy.ext.asyncio import AsyncEngine, AsyncSession
from sqlalchemy.orm import Session
from sqlalchemy.pool import QueuePool

from tests.pools import MakeEngine, checked_out, with_psycopg

SELECT = text("SELECT 'oolong'")
POUR = text("INSERT INTO orders VALUES ('oolong')")
COUNT = text("SELECT count(*) FROM orders")


@pytest.fixture
async def engine(make_engine: MakeEngine) -> AsyncEngine:
    engine = make_engine(pool_size=2, max_overflow=0, pool_timeout=1)
    async with engine.begin() as connection:
        await connection.execute(text("CREATE TABLE orders (drink text)"))
    return engine


async def nested(engine: AsyncEngine, everyone: asyncio.Barrier) -> None:
    async with AsyncSession(engine) as first:
        await first.execute(SELECT)
        await everyone.wait()
        async with AsyncSession(engine) as second:
            await second.execute(SELECT)


async def test_one_task_less_than_connections_always_gets_through(make_engine: MakeEngine) -> None:
    engine = make_engine(pool_size=5, max_overflow=0, pool_timeout=5)
    everyone = asyncio.Barrier(4)
    await asyncio.gather(*(nested(engine, everyone) for _ in range(4)))


async def served(engine: AsyncEngine, tasks: int, holding: int) -> int:
    """How many of the tasks get done, once so many hold their first connection."""
    done, everyone = 0, asyncio.Barrier(holding)

    async def serve() -> None:
        nonlocal done
        async with AsyncSession(engine) as first:
            await first.execute(SELECT)
            await everyone.wait()
            async with AsyncSession(engine) as second:
                await second.execute(SELECT)
                done += 1

    all_of_them = [asyncio.create_task(serve()) for _ in range(tasks)]
    await asyncio.wait(all_of_them, timeout=0.5)
    for task in all_of_them:
        task.cancel()
    await asyncio.wait(all_of_them)
    return done


@pytest.mark.parametrize("tasks", [3, 4, 5])
async def test_as_many_tasks_as_connections_or_more_lock_the_pool(
    make_engine: MakeEngine, tasks: int
) -> None:
    engine = make_engine(pool_size=3, max_overflow=0, pool_timeout=30)
    assert await served(engine, tasks, holding=3) == 0


async def test_three_tasks_with_three_sessions_each_lock_a_pool_of_six(
    make_engine: MakeEngine,
) -> None:
    engine = make_engine(pool_size=6, max_overflow=0, pool_timeout=0.5)
    everyone = asyncio.Barrier(3)

    async def serve() -> None:
        async with AsyncSession(engine) as first:
            await first.execute(SELECT)
            await nested(engine, everyone)

    ended = await asyncio.gather(*(serve() for _ in range(3)), return_exceptions=True)
    assert [type(error) for error in ended] == [exc.TimeoutError] * 3


async def test_requests_with_one_connection_each_lock_the_pool_if_they_wait_for_each_other(
    engine: AsyncEngine,
) -> None:
    everyone = asyncio.Barrier(2)

    async def called() -> None:
        async with AsyncSession(engine) as its_only_one:
            await its_only_one.execute(SELECT)

    async def calling() -> None:
        async with AsyncSession(engine) as its_only_one:
            await its_only_one.execute(SELECT)
            await everyone.wait()
            await asyncio.create_task(called())

    ended = await asyncio.gather(calling(), calling(), return_exceptions=True)
    assert [type(error) for error in ended] == [exc.TimeoutError] * 2


async def test_tasks_that_meet_by_chance_get_done_if_they_are_fewer_than_the_connections(
    make_engine: MakeEngine,
) -> None:
    engine = make_engine(pool_size=3, max_overflow=0, pool_timeout=5)
    for _ in range(20):
        await asyncio.gather(*(nested(engine, asyncio.Barrier(1)) for _ in range(2)))


async def test_a_semaphore_one_below_the_limit_lets_everybody_through(
    make_engine: MakeEngine,
) -> None:
    engine = make_engine(pool_size=3, max_overflow=0, pool_timeout=5)
    limit = asyncio.Semaphore(2)

    async def serve() -> None:
        async with limit:
            await nested(engine, asyncio.Barrier(1))

    await asyncio.gather(*(serve() for _ in range(20)))


def test_threads_with_two_synchronous_sessions_each_lock_the_pool_as_well(
    database_url: str,
) -> None:
    url = with_psycopg(database_url)
    engine = create_engine(url, pool_size=5, max_overflow=0, pool_timeout=0.5)
    everyone = threading.Barrier(5, timeout=10)
    failed: list[BaseException] = []

    def serve() -> None:
        with Session(engine) as first:
            first.execute(SELECT)
            everyone.wait()
            try:
                with Session(engine) as second:
                    second.execute(SELECT)
            except exc.TimeoutError as error:
                failed.append(error)
            everyone.wait()

    threads = [threading.Thread(target=serve) for _ in range(5)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert len(failed) == 5
    engine.dispose()


async def test_overflow_connections_count_in_full(make_engine: MakeEngine) -> None:
    engine = make_engine(pool_size=1, max_overflow=2, pool_timeout=5)
    everyone = asyncio.Barrier(2)
    await asyncio.gather(*(nested(engine, everyone) for _ in range(2)))


async def test_the_first_to_give_up_saves_another(engine: AsyncEngine) -> None:
    async def ask(first: AsyncSession) -> None:
        async with first, AsyncSession(engine) as second:
            await second.execute(SELECT)

    early, late = AsyncSession(engine), AsyncSession(engine)
    await early.execute(SELECT)
    await late.execute(SELECT)
    giving_up = asyncio.create_task(ask(early))
    await asyncio.sleep(0)  # it waits now, for `pool_timeout`
    assert isinstance(engine.pool, QueuePool)
    engine.pool._timeout = 30
    saved = asyncio.create_task(ask(late))
    with pytest.raises(exc.TimeoutError):
        await giving_up
    await saved


async def test_without_a_pool_timeout_the_circle_is_never_broken(make_engine: MakeEngine) -> None:
    engine = make_engine(pool_size=2, max_overflow=0, pool_timeout=None)
    everyone = asyncio.Barrier(2)
    tasks = [asyncio.create_task(nested(engine, everyone)) for _ in range(2)]
    done, _ = await asyncio.wait(tasks, timeout=0.5)
    assert done == set()
    assert checked_out(engine) == 2
    for task in tasks:
        task.cancel()
    await asyncio.wait(tasks)
    assert checked_out(engine) == 0


async def test_the_server_sees_no_lock_that_anybody_waits_for(
    engine: AsyncEngine, make_engine: MakeEngine
) -> None:
    everyone = asyncio.Barrier(3)
    tasks = [asyncio.create_task(nested(engine, everyone)) for _ in range(2)]
    await everyone.wait()
    watcher = make_engine(poolclass=NullPool)
    async with watcher.connect() as connection:
        waiting = text("SELECT count(*) FROM pg_locks WHERE NOT granted")
        assert await connection.scalar(waiting) == 0
    for task in tasks:
        task.cancel()
    await asyncio.wait(tasks)


async def test_postgresql_waits_for_a_lock_for_ever_by_default(engine: AsyncEngine) -> None:
    async with AsyncSession(engine) as session:
        assert await session.scalar(text("SHOW lock_timeout")) == "0"


async def test_only_the_session_passed_on_sees_what_is_not_committed(engine: AsyncEngine) -> None:
    async with AsyncSession(engine) as first, AsyncSession(engine) as second:
        await first.execute(POUR)
        assert await first.scalar(COUNT) == 1
        assert await second.scalar(COUNT) == 0


async def test_a_pool_of_one_fails_the_nested_session_every_time(make_engine: MakeEngine) -> None:
    engine = make_engine(pool_size=1, max_overflow=0, pool_timeout=0.1)
    for _ in range(3):
        with pytest.raises(exc.TimeoutError, match="QueuePool limit of size 1 overflow 0 reached"):
            await nested(engine, asyncio.Barrier(1))


async def test_a_connection_counts_like_a_session_and_a_stream_holds_its_own(
    engine: AsyncEngine,
) -> None:
    async with AsyncSession(engine) as session:
        rows = await session.stream(text("SELECT generate_series(1, 3)"))
        async for _ in rows:
            async with engine.connect():
                assert checked_out(engine) == 2


async def test_a_savepoint_takes_no_second_connection(engine: AsyncEngine) -> None:
    async with AsyncSession(engine) as session:
        await session.execute(SELECT)
        async with session.begin_nested():
            await session.execute(SELECT)
            assert checked_out(engine) == 1


async def test_the_transaction_before_stays_if_the_second_fails(engine: AsyncEngine) -> None:
    async with AsyncSession(engine) as session:
        await session.execute(POUR)
        await session.commit()
    with pytest.raises(LookupError):
        await fail_after_pouring(engine)
    async with AsyncSession(engine) as session:
        assert await session.scalar(COUNT) == 1


async def fail_after_pouring(engine: AsyncEngine) -> None:
    async with AsyncSession(engine) as session, session.begin():
        await session.execute(POUR)
        raise LookupError("out of oolong")


async def test_an_engine_of_its_own_serves_the_second_session_of_everybody(
    engine: AsyncEngine, make_engine: MakeEngine
) -> None:
    audit = make_engine(pool_size=1, max_overflow=0, pool_timeout=5)
    everyone = asyncio.Barrier(2)

    async def serve() -> None:
        async with AsyncSession(engine) as first:
            await first.execute(SELECT)
            await everyone.wait()
            async with AsyncSession(audit) as second:
                await second.execute(SELECT)

    await asyncio.gather(serve(), serve())
