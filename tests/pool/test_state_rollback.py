"""What the page on a connection's state says of a raw BEGIN, the ROLLBACK and AUTOCOMMIT."""

from typing import Any

import pytest
from sqlalchemy import text
from sqlalchemy.exc import InterfaceError
from sqlalchemy.ext.asyncio import AsyncConnection, AsyncEngine, AsyncSession
from sqlalchemy.pool import QueuePool

from tests.pools import (
    MakeEngine,
    both_drivers,
    engine_for,
    one_connection,
    record_queries,
    with_psycopg,
)
from tests.waiting import eventually

SELECT = text("SELECT 'oolong'")


@pytest.fixture
def engine(make_engine: MakeEngine) -> AsyncEngine:
    return one_connection(make_engine)


# A BEGIN that nobody knows of


async def poison(engine: AsyncEngine) -> None:
    """Return a connection with a transaction that SQLAlchemy does not know of."""
    async with engine.connect() as connection:
        driver: Any = (await connection.get_raw_connection()).driver_connection
        await driver.execute("BEGIN")


async def guest(engine: AsyncEngine) -> bool:
    """Whether a session gets its answer."""
    try:
        async with AsyncSession(engine) as session:
            await session.execute(SELECT)
    except InterfaceError:
        return False
    return True


async def test_one_bad_connection_of_five_fails_every_fifth_request(
    make_engine: MakeEngine,
) -> None:
    engine = make_engine(pool_size=5)
    connections = [await engine.connect() for _ in range(5)]
    for connection in connections:
        await connection.close()
    await poison(engine)
    assert [await guest(engine) for _ in range(10)] == [True, True, True, True, False] * 2
    await engine.dispose()
    assert await guest(engine)


async def test_pre_ping_replaces_the_bad_connection_at_the_cost_of_an_error(
    make_engine: MakeEngine,
) -> None:
    engine = one_connection(make_engine, pool_pre_ping=True)
    await poison(engine)
    assert [await guest(engine) for _ in range(3)] == [False, True, True]


@pytest.mark.parametrize("pre_ping", [True, False])
async def test_in_autocommit_an_open_begin_loses_what_others_write(
    make_engine: MakeEngine, watcher: AsyncConnection, pre_ping: bool
) -> None:
    await watcher.execute(text("CREATE TABLE orders (drink text)"))
    engine = one_connection(make_engine, isolation_level="AUTOCOMMIT", pool_pre_ping=pre_ping)
    async with engine.connect() as connection:
        driver: Any = (await connection.get_raw_connection()).driver_connection
        await driver.execute("BEGIN")
    async with engine.connect() as connection:
        await connection.execute(text("INSERT INTO orders VALUES ('oolong')"))
    await engine.dispose()
    assert await watcher.scalar(text("SELECT count(*) FROM orders")) == 0


async def test_the_pool_sees_nothing_of_an_aborted_script(
    engine: AsyncEngine, watcher: AsyncConnection
) -> None:
    async with engine.connect() as connection:
        driver: Any = (await connection.get_raw_connection()).driver_connection
        with pytest.raises(Exception, match="division by zero"):
            await driver.execute("BEGIN; SELECT 1 / 0; COMMIT;")
    assert isinstance(engine.pool, QueuePool)
    assert (engine.pool.checkedin(), engine.pool.checkedout()) == (1, 0)
    state = (
        "SELECT state FROM pg_stat_activity"
        " WHERE datname = current_database() AND pid <> pg_backend_pid()"
    )
    assert await watcher.scalar(text(state)) == "idle in transaction (aborted)"


async def test_recycling_replaces_the_bad_connection(make_engine: MakeEngine) -> None:
    engine = one_connection(make_engine, pool_recycle=1)
    await poison(engine)
    assert not await guest(engine)
    await eventually("the bad connection is replaced", lambda: guest(engine))


async def test_psycopg_rolls_such_a_transaction_back_on_return(
    database_url: str, make_engine: MakeEngine
) -> None:
    engine = one_connection(make_engine, with_psycopg(database_url))
    await poison(engine)
    assert await guest(engine)


async def test_a_script_without_begin_is_a_transaction_all_the_same(engine: AsyncEngine) -> None:
    async with engine.connect() as connection:
        driver: Any = (await connection.get_raw_connection()).driver_connection
        with pytest.raises(Exception, match="division by zero"):
            await driver.execute("CREATE TABLE orders (drink text); SELECT 1 / 0;")
    assert await guest(engine)
    async with AsyncSession(engine) as session:
        assert await session.scalar(text("SELECT to_regclass('orders')")) is None


async def test_a_transaction_of_the_driver_ends_with_its_block(engine: AsyncEngine) -> None:
    async with engine.connect() as connection:
        driver: Any = (await connection.get_raw_connection()).driver_connection
        with pytest.raises(Exception, match="division by zero"):
            async with driver.transaction():
                await driver.execute("SELECT 1 / 0")
    assert await guest(engine)


# ROLLBACK


async def rollbacks(watcher: AsyncConnection) -> int:
    return int(
        await watcher.scalar(
            text("SELECT xact_rollback FROM pg_stat_database WHERE datname = current_database()")
        )
        or 0
    )


@pytest.mark.parametrize(
    ("options", "commit", "counted"),
    [
        ({}, False, 10),
        ({"pool_reset_on_return": None}, False, 10),
        ({}, True, 0),
        ({"isolation_level": "AUTOCOMMIT"}, False, 0),
    ],
    ids=["as it is", "reset None", "commit()", "AUTOCOMMIT"],
)
async def test_the_server_counts_a_rollback_for_each_session_that_does_not_commit(
    make_engine: MakeEngine,
    watcher: AsyncConnection,
    options: dict[str, Any],
    commit: bool,
    counted: int,
) -> None:
    engine = one_connection(make_engine, **options)
    async with AsyncSession(engine) as session:
        await session.execute(SELECT)  # and what SQLAlchemy asks on its first connection
        await session.commit()
    await engine.dispose()
    before = await settled(watcher)
    for _ in range(10):
        async with AsyncSession(engine) as session:
            await session.execute(SELECT)
            if commit:
                await session.commit()
    await engine.dispose()  # a backend hands in its numbers when it ends
    assert await settled(watcher) - before == counted


async def settled(watcher: AsyncConnection) -> int:
    """The rollbacks counted, once every other backend of this database has ended."""
    alone = text(
        "SELECT count(*) = 0 FROM pg_stat_activity"
        " WHERE datname = current_database() AND pid <> pg_backend_pid()"
    )
    await eventually("every other backend has ended", lambda: watcher.scalar(alone))
    return await rollbacks(watcher)


@pytest.mark.parametrize(("reset", "saved"), [("rollback", False), (None, True)])
async def test_without_a_reset_the_next_session_commits_the_work_of_a_raw_cursor(
    make_engine: MakeEngine, reset: str | None, saved: bool
) -> None:
    engine = one_connection(make_engine, pool_reset_on_return=reset)
    create = "CREATE TABLE orders (drink text)"
    async with engine.connect() as connection:
        await connection.run_sync(lambda sync: sync.connection.cursor().execute(create))
    async with AsyncSession(engine) as session:
        await session.execute(SELECT)
        await session.commit()
    async with AsyncSession(engine) as session:
        assert (await session.scalar(text("SELECT to_regclass('orders')")) is not None) is saved


# AUTOCOMMIT


@both_drivers
@pytest.mark.parametrize(("option", "times"), [({}, 1), ({"isolation_level": "AUTOCOMMIT"}, 2)])
async def test_now_tells_autocommit_and_the_isolation_level_does_not(
    make_engine: MakeEngine, database_url: str, driver: str, option: dict[str, str], times: int
) -> None:
    engine = engine_for(make_engine, database_url, driver, **option)
    async with engine.connect() as connection:
        assert await connection.scalar(text("SHOW transaction_isolation")) == "read committed"
        assert await connection.get_isolation_level() == "READ COMMITTED"
        now = text("SELECT now()")
        assert len({await connection.scalar(now), await connection.scalar(now)}) == times
        await connection.commit()
        earlier = await connection.scalar(now)
        await connection.commit()
        assert await connection.scalar(now) != earlier
    await engine.dispose()


async def test_skipping_the_rollback_is_logged_and_sends_what_was_sent_before_nothing(
    make_engine: MakeEngine, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level("INFO", "sqlalchemy.engine")
    engine = one_connection(
        make_engine, isolation_level="AUTOCOMMIT", skip_autocommit_rollback=True
    )
    sent = record_queries(engine)
    async with AsyncSession(engine) as session:
        await session.execute(SELECT)
    assert "ROLLBACK will be skipped by skip_autocommit_rollback" in caplog.messages
    assert sent == []


@pytest.mark.parametrize("owner", ["engine", "session", "connection"])
async def test_autocommit_as_an_execution_option_is_undone_on_return(
    engine: AsyncEngine, owner: str
) -> None:
    sent = record_queries(engine)
    option = {"isolation_level": "AUTOCOMMIT"}
    if owner == "engine":
        async with AsyncSession(engine.execution_options(**option)) as session:
            await session.execute(SELECT)
    elif owner == "session":
        async with AsyncSession(engine) as session:
            await session.connection(execution_options=option)
            await session.execute(SELECT)
    else:
        async with engine.connect() as connection:
            await connection.execution_options(**option)
            await connection.execute(SELECT)
    assert sent == []
    async with AsyncSession(engine) as session:
        await session.execute(SELECT)
    assert sent == ["BEGIN ISOLATION LEVEL READ COMMITTED;", "ROLLBACK;"]


async def test_autocommit_of_the_engine_stays(make_engine: MakeEngine) -> None:
    engine = one_connection(make_engine, isolation_level="AUTOCOMMIT")
    sent = record_queries(engine)
    for _ in range(3):
        async with AsyncSession(engine) as session:
            await session.execute(SELECT)
    assert sent == []
