"""What the page on overflow says beyond what its snippets print."""

import asyncio
from collections import Counter
from collections.abc import Iterator
from contextlib import AsyncExitStack

import pytest
from sqlalchemy import event, make_url, text
from sqlalchemy.ext.asyncio import AsyncConnection, AsyncEngine, create_async_engine

from tests.asking import OTHERS
from tests.pools import MakeEngine, borrow, both_drivers, engine_for, leaves_open, pool_of
from tests.waiting import DEADLINE, eventually
from tools.postgres import EmbeddedPostgres, Proxy


def count(engine: AsyncEngine) -> Counter[str]:
    """How often the engine opened, lent and closed a connection."""
    seen = Counter[str]()
    for name in ("connect", "checkout", "close"):
        event.listen(engine.sync_engine, name, lambda *_, name=name: seen.update([name]))
    return seen


@both_drivers
@pytest.mark.parametrize(
    ("pool_size", "max_overflow", "opened"), [(5, 10, 40), (12, 3, 12)], ids=["5+10", "12+3"]
)
async def test_five_bursts_open_as_many_with_either_driver(
    database_url: str,
    make_engine: MakeEngine,
    driver: str,
    pool_size: int,
    max_overflow: int,
    opened: int,
) -> None:
    url = make_url(database_url).set(drivername=f"postgresql+{driver}")
    engine = make_engine(url, pool_size=pool_size, max_overflow=max_overflow)
    seen = count(engine)
    for _ in range(5):
        async with AsyncExitStack() as lent:
            await borrow(engine, 12, lent)
    assert seen["connect"] == opened


async def test_while_the_load_stays_an_overflow_connection_serves_one_after_another(
    make_engine: MakeEngine,
) -> None:
    engine = make_engine(pool_size=1, max_overflow=1)
    seen = count(engine)
    async with engine.connect():
        for _ in range(5):
            async with engine.connect():
                pass
    assert seen["connect"] == 2


async def test_a_single_return_goes_to_the_task_that_waits_and_is_not_closed(
    make_engine: MakeEngine,
) -> None:
    engine = make_engine(pool_size=1, max_overflow=1)
    seen = count(engine)
    first, second = await engine.connect(), await engine.connect()
    waiting = asyncio.create_task(engine.connect().start())
    await asyncio.sleep(0)
    await second.close()
    third = await waiting
    assert (seen["connect"], seen["close"]) == (2, 0)
    await third.close()
    await first.close()
    assert seen["close"] == 1


@both_drivers
@pytest.mark.parametrize("pool_timeout", [0.5, None])
async def test_of_two_that_return_in_one_turn_one_is_closed_although_a_task_waits(
    database_url: str, make_engine: MakeEngine, driver: str, pool_timeout: float | None
) -> None:
    url = make_url(database_url).set(drivername=f"postgresql+{driver}")
    engine = make_engine(url, pool_size=1, max_overflow=1, pool_timeout=pool_timeout)
    together, borrowed = asyncio.Barrier(2), asyncio.Barrier(3)
    served, leave = asyncio.Queue[None](), asyncio.Event()

    async def holder() -> None:
        async with engine.connect():
            await borrowed.wait()
            await together.wait()

    async def waiter() -> None:
        async with engine.connect():
            served.put_nowait(None)
            await leave.wait()

    holders = [asyncio.create_task(holder()) for _ in range(2)]
    await borrowed.wait()  # both hold one, and meet at the next barrier
    seen = count(engine)
    waiting = [asyncio.create_task(waiter()) for _ in range(2)]
    await asyncio.wait(holders)
    await served.get()
    assert (seen["checkout"], seen["close"], seen["connect"]) == (1, 1, 0)
    assert pool_of(engine).checkedout() == 1  # of two
    if pool_timeout is None:
        with pytest.raises(TimeoutError):
            await asyncio.wait_for(served.get(), 1)
        leave.set()  # a return serves the other
    else:
        await served.get()
        assert seen["connect"] == 1  # which a waiter opens when its time is up, and not before
        leave.set()
    async with asyncio.timeout(DEADLINE):
        await asyncio.gather(*waiting)


async def test_without_overflow_both_that_return_in_one_turn_serve_a_task(
    make_engine: MakeEngine,
) -> None:
    engine = make_engine(pool_size=2, max_overflow=0)
    lent = [await engine.connect() for _ in range(2)]
    seen = count(engine)
    both_served = asyncio.Barrier(2)

    async def waiter() -> None:
        async with engine.connect():
            await both_served.wait()

    waiting = [asyncio.create_task(waiter()) for _ in range(2)]
    await asyncio.sleep(0)
    await asyncio.gather(*(connection.close() for connection in lent))
    async with asyncio.timeout(DEADLINE):
        await asyncio.gather(*waiting)
    assert seen == {"checkout": 2}


@pytest.mark.parametrize("max_overflow", [-5, -2])
async def test_another_negative_overflow_ends_in_recursion_once_the_sum_is_lent(
    make_engine: MakeEngine, max_overflow: int
) -> None:
    engine = make_engine(max_overflow=max_overflow)
    async with AsyncExitStack() as lent:
        await borrow(engine, 5 + max_overflow, lent)
        with pytest.raises(RecursionError, match="maximum recursion depth exceeded"):
            await borrow(engine, 1, lent)


@pytest.mark.parametrize(("driver", "waits"), [("asyncpg", True), ("psycopg", False)])
async def test_closing_waits_for_postgresql_with_asyncpg_and_not_with_psycopg(
    database_url: str, make_engine: MakeEngine, driver: str, waits: bool
) -> None:
    url = make_url(database_url).set(drivername=f"postgresql+{driver}")
    engine = make_engine(url)
    connection = await engine.connect()
    line = (await connection.get_raw_connection()).driver_connection
    assert line
    closing = asyncio.create_task(line.close())
    await asyncio.sleep(0)
    assert closing.done() is not waits
    await closing
    await connection.invalidate()
    await connection.close()


async def test_an_overflow_connection_knows_no_prepared_statement(make_engine: MakeEngine) -> None:
    engine = make_engine(pool_size=1, max_overflow=1)
    drink = text("SELECT 'oolong'")
    known = text("SELECT count(*) FROM pg_prepared_statements WHERE statement = :statement")

    async def knows(connection: AsyncConnection) -> int | None:
        before: int | None = await connection.scalar(known, {"statement": str(drink)})
        await connection.execute(drink)
        return before

    for expected in (0, 1):
        async with engine.connect() as kept, engine.connect() as overflow:
            assert await knows(kept) == expected
            assert await knows(overflow) == 0
            await overflow.rollback()
            await kept.close()


@pytest.mark.parametrize(("driver", "prepared"), [("asyncpg", 1), ("psycopg", 6)])
async def test_a_statement_is_prepared_at_this_run(
    database_url: str, make_engine: MakeEngine, driver: str, prepared: int
) -> None:
    engine = engine_for(make_engine, database_url, driver)
    known = text(
        "SELECT count(*) FROM pg_prepared_statements WHERE statement = 'SELECT ''oolong'''"
    )
    runs = 0
    async with engine.connect() as connection:
        while not await connection.scalar(known):
            await connection.execute(text("SELECT 'oolong'"))
            runs += 1
    assert runs == prepared


@leaves_open
@pytest.mark.parametrize(("driver", "waits"), [("asyncpg", True), ("psycopg", False)])
async def test_on_a_dead_line_asyncpg_waits_as_an_overflow_connection_returns(
    database_url: str, make_engine: MakeEngine, driver: str, waits: bool
) -> None:
    async with Proxy(database_url) as proxy:
        engine = engine_for(make_engine, proxy.url, driver, pool_size=1, max_overflow=1)
        kept, overflow = await engine.connect(), await engine.connect()
        proxy.swallow()
        await kept.close()
        returning = asyncio.create_task(overflow.close())
        _, still = await asyncio.wait([returning], timeout=1 if waits else DEADLINE)
        assert bool(still) is waits
        returning.cancel()
        await asyncio.wait([returning])
        await engine.dispose(close=False)


async def test_a_closed_overflow_connection_has_left_the_server(make_engine: MakeEngine) -> None:
    engine = make_engine(pool_size=1, max_overflow=1)
    async with engine.connect() as first, engine.connect():
        await first.close()  # stays
    async with engine.connect() as connection:
        assert await connection.scalar(OTHERS) == 0


async def test_postgresql_counts_every_connection_that_was_opened(make_engine: MakeEngine) -> None:
    watcher = make_engine(isolation_level="AUTOCOMMIT")
    engine = make_engine(pool_size=1, max_overflow=2)
    sessions = text("SELECT sessions FROM pg_stat_database WHERE datname = current_database()")
    async with watcher.connect() as connection:
        before = int(await connection.scalar(sessions) or 0)
        for _ in range(3):
            async with AsyncExitStack() as lent:
                await borrow(engine, 3, lent)

        async def counted() -> bool:
            return int(await connection.scalar(sessions) or 0) >= before + 3 + 2 + 2

        await eventually("all connections are counted", counted)
        assert await connection.scalar(sessions) == before + 3 + 2 + 2


async def test_one_transaction_sees_the_same_count_of_sessions(
    make_engine: MakeEngine,
) -> None:
    asking, other = make_engine(), make_engine(isolation_level="AUTOCOMMIT")
    sessions = text("SELECT sessions FROM pg_stat_database WHERE datname = current_database()")
    async with asking.connect() as connection, other.connect() as watching:
        first = int(await connection.scalar(sessions) or 0)
        await borrow_and_close(make_engine)

        async def counted() -> bool:
            return int(await watching.scalar(sessions) or 0) > first + 1

        await eventually("the other connections are counted", counted)
        assert await connection.scalar(sessions) == first


async def borrow_and_close(make_engine: MakeEngine) -> None:
    """Two connections that come and go."""
    for _ in range(2):
        engine = make_engine()
        async with engine.connect():
            pass
        await engine.dispose()


async def test_recycling_and_cancelled_queries_make_connect_climb(
    make_engine: MakeEngine, watcher: AsyncConnection
) -> None:
    recycled, cancelled = make_engine(pool_recycle=0), make_engine()
    seen = count(recycled)
    for _ in range(3):
        async with recycled.connect():
            pass
    assert seen["connect"] >= 3
    await recycled.dispose()
    seen = count(cancelled)

    async def brew() -> None:
        async with cancelled.connect() as connection:
            await connection.execute(text("SELECT pg_sleep(60)"))

    running = text("SELECT count(*) FROM pg_stat_activity WHERE query = 'SELECT pg_sleep(60)'")
    for _ in range(3):
        brewing = asyncio.create_task(brew())
        await eventually("the query runs", lambda: watcher.scalar(running))
        brewing.cancel()
        await asyncio.wait([brewing])
    assert seen["checkout"] == seen["connect"] == 3


async def test_dispose_and_recycling_count_as_closed_too(make_engine: MakeEngine) -> None:
    engine = make_engine(pool_recycle=0)
    seen = count(engine)
    for _ in range(2):
        async with engine.connect():
            pass
    recycled = seen["close"]
    await engine.dispose()
    assert recycled > 0
    assert seen["close"] == recycled + 1


@pytest.fixture(scope="module")
def narrow() -> Iterator[EmbeddedPostgres]:
    """A server that allows ten connections to everybody."""
    with EmbeddedPostgres(max_connections="10", superuser_reserved_connections="0") as server:
        yield server


async def test_without_a_limit_of_its_own_a_pool_shuts_out_everybody_else(
    narrow: EmbeddedPostgres,
) -> None:
    unlimited = create_async_engine(narrow.url(), max_overflow=-1)
    other_service = create_async_engine(narrow.url())
    async with AsyncExitStack() as lent:
        # SQLAlchemy 2.0 lets asyncpg's own error through.
        with pytest.raises(Exception, match="too many clients already"):
            await borrow(unlimited, 11, lent)
        with pytest.raises(Exception, match="too many clients already"):
            await other_service.connect()
    await unlimited.dispose()
