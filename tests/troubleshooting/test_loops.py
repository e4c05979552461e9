"""What the page on errors of event loops says beyond what its snippets print."""

import asyncio
import gc
import time
from contextlib import nullcontext
from typing import Any

import pytest
from apscheduler.jobstores.sqlalchemy import SQLAlchemyJobStore
from apscheduler.schedulers.background import BackgroundScheduler
from sqlalchemy import MetaData, create_engine, inspect, literal, text
from sqlalchemy.exc import MissingGreenlet, NoInspectionAvailable
from sqlalchemy.ext.asyncio import AsyncEngine, async_sessionmaker, create_async_engine
from sqlalchemy.ext.asyncio.exc import AsyncContextNotStarted
from sqlalchemy.orm import Session

from tests.pools import MakeEngine, checked_out, with_psycopg

OOLONG = text("SELECT 'oolong'")


async def order(engine: AsyncEngine) -> str:
    async with engine.connect() as connection:
        return str(await connection.scalar(OOLONG))


def let_go(caplog: pytest.LogCaptureFixture) -> None:
    """Collect the connections of closed loops, which logged tracebacks hold."""
    caplog.clear()
    gc.collect()


@pytest.mark.filterwarnings("ignore")
def test_a_ping_in_the_second_loop_fails_with_the_same_text(
    database_url: str, caplog: pytest.LogCaptureFixture
) -> None:
    engine = create_async_engine(database_url, pool_pre_ping=True)
    asyncio.run(order(engine))
    with pytest.raises(RuntimeError, match="attached to a different loop"):
        asyncio.run(order(engine))
    asyncio.run(engine.dispose(close=False))
    assert caplog.records  # SQLAlchemy tried to end the connection, and said so
    let_go(caplog)


@pytest.mark.filterwarnings("ignore")
@pytest.mark.parametrize(
    ("options", "fails"), [({"pool_pre_ping": True}, True), ({"pool_recycle": 0}, False)]
)
def test_what_throws_away_a_connection_of_a_closed_loop_logs_event_loop_is_closed(
    database_url: str, caplog: pytest.LogCaptureFixture, options: dict[str, Any], fails: bool
) -> None:
    engine = create_async_engine(database_url, **options)
    asyncio.run(order(engine))
    time.sleep(0.01)  # the age is to be above 0
    with pytest.raises(RuntimeError, match="different loop") if fails else nullcontext():
        asyncio.run(order(engine))
    [logged] = caplog.records
    assert "Exception terminating connection" in logged.getMessage()
    assert "Event loop is closed" in caplog.text
    asyncio.run(engine.dispose(close=False))
    let_go(caplog)


async def test_a_session_is_not_awaited(make_engine: MakeEngine) -> None:
    async_session: Any = async_sessionmaker(make_engine())
    with pytest.raises(TypeError, match=r"AsyncSession'?( object)? can't be "):
        await async_session()


async def test_query_belongs_to_the_synchronous_session(make_engine: MakeEngine) -> None:
    session: Any = async_sessionmaker(make_engine())()
    with pytest.raises(AttributeError, match="'AsyncSession' object has no attribute 'query'"):
        session.query("tea")
    assert (
        await session.run_sync(lambda session: session.query(literal("oolong")).scalar())
        == "oolong"
    )
    await session.close()


def test_a_semaphore_of_your_own_is_bound_to_the_loop_that_first_waited() -> None:
    limit = asyncio.Semaphore(1)

    async def guest() -> None:
        async with limit:
            await asyncio.sleep(0)

    async def two_guests() -> None:
        await asyncio.gather(guest(), guest())

    asyncio.run(two_guests())
    with pytest.raises(RuntimeError, match="is bound to a different event loop"):
        asyncio.run(two_guests())


def test_a_pool_in_which_nobody_waits_is_bound_to_no_loop(database_url: str) -> None:
    engine = create_async_engine(with_psycopg(database_url), pool_size=1, max_overflow=0)
    assert [asyncio.run(order(engine)) for _ in range(2)] == ["oolong"] * 2
    asyncio.run(engine.dispose())


@pytest.mark.filterwarnings("ignore")
@pytest.mark.parametrize(("close", "logged"), [(False, []), (True, ["Event loop is closed"])])
def test_dispose_after_the_end_of_the_loop_logs_and_close_false_says_no_word(
    database_url: str, caplog: pytest.LogCaptureFixture, close: bool, logged: list[str]
) -> None:
    engine = create_async_engine(database_url)
    asyncio.run(order(engine))
    asyncio.run(engine.dispose(close=close))
    assert [str(record.exc_info[1]) for record in caplog.records if record.exc_info] == logged
    let_go(caplog)


async def test_run_until_complete_is_no_way_around_it() -> None:
    coroutine = asyncio.sleep(0)
    with pytest.raises(RuntimeError, match="This event loop is already running"):
        asyncio.get_running_loop().run_until_complete(coroutine)
    coroutine.close()


async def test_what_was_not_started_has_no_connection_lent(make_engine: MakeEngine) -> None:
    engine = make_engine()
    connection: Any = engine.connect()
    with pytest.raises(AsyncContextNotStarted):
        await connection.execute(OOLONG)
    assert checked_out(engine) == 0


async def test_all_four_want_async_with(make_engine: MakeEngine) -> None:
    engine = make_engine()
    async with async_sessionmaker(engine)() as session:
        for wants in (session, session.begin(), engine.begin(), engine.connect()):
            with pytest.raises(TypeError, match="does not support the context manager protocol"):
                _enter(wants)


def _enter(wants: Any) -> None:
    with wants:
        pass


async def test_async_with_on_a_synchronous_session() -> None:
    said = "'Session' object does not support the asynchronous context manager protocol"
    session: Any = Session()
    with pytest.raises(TypeError, match=said):
        async with session:
            pass


@pytest.mark.filterwarnings("ignore:coroutine 'connect' was never awaited")
def test_a_synchronous_engine_with_asyncpg_raises_missing_greenlet(database_url: str) -> None:
    engine = create_engine(database_url)
    with pytest.raises(MissingGreenlet, match="greenlet_spawn has not been called"):
        engine.connect()
    engine.dispose()


@pytest.mark.filterwarnings("ignore:coroutine 'connect' was never awaited")
def test_metadata_gets_no_further_with_the_sync_engine(database_url: str) -> None:
    with pytest.raises(MissingGreenlet):
        MetaData().create_all(create_async_engine(database_url).sync_engine)


async def test_an_inspector_wants_run_sync(make_engine: MakeEngine) -> None:
    engine: Any = make_engine()
    with pytest.raises(
        NoInspectionAvailable, match="Inspection on an AsyncEngine is currently not supported"
    ):
        inspect(engine)
    async with engine.connect() as connection:
        assert await connection.run_sync(lambda sync: inspect(sync).get_table_names()) == []


def test_a_job_store_wants_a_synchronous_engine(make_engine: MakeEngine, database_url: str) -> None:
    def store(engine: Any) -> SQLAlchemyJobStore:
        return SQLAlchemyJobStore(engine=engine, tablename="guide_jobs")

    with pytest.raises(AttributeError, match="'AsyncEngine' object has no attribute '_run_ddl_v"):
        store(make_engine()).start(BackgroundScheduler(), "default")
    engine = create_engine(with_psycopg(database_url))
    store(engine).start(BackgroundScheduler(), "default")
    assert inspect(engine).has_table("guide_jobs")
    engine.dispose()
