"""What the page on errors of event loops says beyond what its snippets print."""

import asyncio
import gc
import re
import subprocess
import sys
import time
from collections.abc import AsyncIterator, Callable
from concurrent.futures import ThreadPoolExecutor
from contextlib import asynccontextmanager, nullcontext
from typing import Any

import pytest
from apscheduler.jobstores.sqlalchemy import SQLAlchemyJobStore
from apscheduler.schedulers.background import BackgroundScheduler
from fastapi import FastAPI
from sqlalchemy import (
    MetaData,
    create_engine,
    func,
    insert,
    inspect,
    literal,
    make_url,
    select,
    text,
)
from sqlalchemy.exc import MissingGreenlet, NoInspectionAvailable
from sqlalchemy.ext.asyncio import (
    AsyncEngine,
    AsyncSession,
    async_sessionmaker,
    create_async_engine,
)
from sqlalchemy.ext.asyncio.exc import AsyncContextNotStarted
from sqlalchemy.orm import DeclarativeBase, Mapped, Session, mapped_column

from tests.asking import backends
from tests.pools import MakeEngine, both_drivers, checked_out, with_psycopg
from tests.serving import serving
from tests.waiting import eventually

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


class Base(DeclarativeBase):
    pass


class Tea(Base):
    __tablename__ = "tea"
    name: Mapped[str] = mapped_column(primary_key=True)


@pytest.fixture
async def tea(make_engine: MakeEngine) -> AsyncIterator[AsyncSession]:
    """A session on a table with one row."""
    engine = make_engine()
    async with engine.begin() as connection:
        await connection.run_sync(Base.metadata.create_all)
        await connection.execute(insert(Tea).values(name="oolong"))
    async with AsyncSession(engine) as session:
        yield session
    async with engine.begin() as connection:
        await connection.run_sync(Base.metadata.drop_all)


@pytest.mark.parametrize(
    ("read", "said"),
    [
        (lambda result: result.scalars().all(), "object list can't be used in 'await' expression"),
        (lambda result: result.fetchall(), "object list can't be used in 'await' expression"),
        (
            lambda result: result.scalars(),
            "object ScalarResult can't be used in 'await' expression",
        ),
        (lambda result: result.scalars().first(), "object Tea can't be used in 'await' expression"),
        (lambda result: result.scalar_one(), "object Tea can't be used in 'await' expression"),
    ],
)
async def test_an_await_too_many_names_the_type_that_was_awaited(
    tea: AsyncSession, read: Callable[[Any], Any], said: str
) -> None:
    result = await tea.execute(select(Tea))
    with pytest.raises(TypeError) as caught:
        await read(result)
    if sys.version_info < (3, 14):
        assert str(caught.value) == said


@pytest.mark.parametrize(
    ("call", "name"),
    [
        (lambda session: session.execute(select(Tea)), "ChunkedIteratorResult"),
        (lambda session: session.execute(OOLONG), "CursorResult"),
        (lambda session: session.query(Tea).first(), "Tea"),
        (lambda session: session.scalars(select(Tea)), "ScalarResult"),
        (lambda session: session.get(Tea, 1), "NoneType"),
        (lambda session: session.flush(), "NoneType"),
        (lambda session: session.commit(), "NoneType"),
        (lambda session: session.refresh(session.get_one(Tea, "oolong")), "NoneType"),
        (lambda session: session.close(), "NoneType"),
    ],
)
async def test_an_await_on_a_synchronous_session_names_what_it_returned(
    tea: AsyncSession, database_url: str, call: Callable[[Session], Any], name: str
) -> None:
    engine = create_engine(with_psycopg(database_url))
    with Session(engine) as session, pytest.raises(TypeError) as caught:
        await call(session)
    engine.dispose()
    if sys.version_info < (3, 14):
        assert str(caught.value) == f"object {name} can't be used in 'await' expression"


@pytest.mark.parametrize(
    "read",
    [
        lambda session, result: session.add(Tea(name="matcha")),
        lambda session, result: result.first(),
        lambda session, result: result.scalar_one_or_none(),
    ],
)
async def test_an_await_before_add_or_before_no_row_names_none(
    tea: AsyncSession, read: Callable[[AsyncSession, Any], Any]
) -> None:
    result = await tea.execute(select(Tea).where(Tea.name == "sencha"))
    with pytest.raises(TypeError, match=r"NoneType'?( object)? can't be "):
        await read(tea, result)
    tea.expunge_all()


async def test_async_for_is_for_a_stream_and_for_for_what_execute_returns(
    tea: AsyncSession,
) -> None:
    rows: Any = await tea.scalars(select(Tea))
    with pytest.raises(TypeError, match="requires an object with __aiter__ method, got Scalar"):
        async for _ in rows:
            pass
    assert [row.name for row in rows] == ["oolong"]
    stream = await tea.stream_scalars(select(Tea))
    assert [row.name async for row in stream] == ["oolong"]
    stream = await tea.stream_scalars(select(Tea))
    assert [row.name for row in await stream.all()] == ["oolong"]


@pytest.mark.filterwarnings("ignore:coroutine:RuntimeWarning")
async def test_without_await_a_for_loop_says_so_in_other_words(tea: AsyncSession) -> None:
    with pytest.raises(TypeError, match="'coroutine' object is not iterable"):
        list(tea.scalars(select(Tea)))  # type: ignore[call-overload]


async def test_delete_without_await_deletes_nothing(tea: AsyncSession) -> None:
    row = await tea.get_one(Tea, "oolong")
    coroutine = tea.delete(row)
    await tea.commit()
    assert await tea.scalar(select(func.count()).select_from(Tea)) == 1
    await coroutine
    await tea.commit()
    assert await tea.scalar(select(func.count()).select_from(Tea)) == 0


@pytest.mark.filterwarnings("ignore")  # coroutine 'connect' was never awaited
async def test_a_synchronous_engine_beside_an_async_one_takes_psycopg(
    make_engine: MakeEngine, database_url: str
) -> None:
    assert await order(make_engine()) == "oolong"
    beside = create_engine(database_url)
    with pytest.raises(MissingGreenlet):
        beside.connect()
    beside = create_engine(with_psycopg(database_url))
    with beside.connect() as connection:
        assert connection.scalar(OOLONG) == "oolong"
    beside.dispose()


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


@pytest.mark.filterwarnings("ignore")
@both_drivers
def test_the_queue_in_the_text_has_the_size_of_the_pool(database_url: str, driver: str) -> None:
    url = make_url(database_url).set(drivername=f"postgresql+{driver}")
    engine = create_async_engine(url, pool_size=3, max_overflow=1)

    async def guests() -> list[object]:
        return await asyncio.gather(*(order(engine) for _ in range(5)), return_exceptions=True)

    asyncio.run(guests())
    *_, last = asyncio.run(guests())
    assert re.fullmatch(
        r"<Queue at 0x\w+ maxsize=3 .*> is bound to a different event loop", str(last)
    )
    asyncio.run(engine.dispose(close=False))
    gc.collect()


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


@pytest.mark.filterwarnings("ignore")
@pytest.mark.parametrize("close", [True, False])
def test_what_was_disposed_after_the_end_of_its_loop_is_closed_by_the_collector(
    database_url: str, caplog: pytest.LogCaptureFixture, close: bool
) -> None:
    async def none_left() -> bool:
        return await backends(database_url) == 0

    engine = create_async_engine(database_url)
    asyncio.run(order(engine))
    assert asyncio.run(backends(database_url)) == 1
    asyncio.run(engine.dispose(close=close))
    let_go(caplog)
    asyncio.run(eventually("the backend has ended", none_left))


@pytest.mark.filterwarnings("ignore")
@pytest.mark.parametrize(
    ("forget", "ping", "statuses"),
    [
        (False, False, [500] * 4),
        (False, True, [500, 200, 200, 200]),
        (True, False, [200] * 4),
    ],
)
def test_what_ran_before_the_server_fails_its_requests_until_the_pool_is_forgotten(
    database_url: str,
    forget: bool,
    ping: bool,
    statuses: list[int],
    caplog: pytest.LogCaptureFixture,
) -> None:
    engine = create_async_engine(database_url, pool_pre_ping=ping)
    asyncio.run(order(engine))  # a command, or a library at its import

    @asynccontextmanager
    async def lifespan(app: FastAPI) -> AsyncIterator[None]:
        if forget:
            await engine.dispose(close=False)
        yield
        await engine.dispose(close=forget)

    app = FastAPI(lifespan=lifespan)

    @app.get("/")
    async def pour() -> str:
        return await order(engine)

    async def ask() -> list[int]:
        async with serving(app) as client:
            return [(await client.get("/")).status_code for _ in range(4)]

    assert asyncio.run(ask()) == statuses
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


async def test_psycopg_works_under_both_kinds_of_engine_with_libpq_s_words(
    database_url: str, make_engine: MakeEngine
) -> None:
    url = with_psycopg(database_url).update_query_dict({"sslmode": "prefer"})
    synchronous = create_engine(url)
    with synchronous.connect() as connection:
        assert connection.scalar(OOLONG) == "oolong"
    synchronous.dispose()
    assert await order(make_engine(url)) == "oolong"


def test_a_thread_without_a_loop_has_no_current_one(database_url: str) -> None:
    async def drink() -> str:
        engine = create_async_engine(database_url)
        try:
            return await order(engine)
        finally:
            await engine.dispose()

    def work() -> str:
        said = "There is no current event loop in thread 'Thread-1"
        with pytest.raises(RuntimeError, match=said):
            asyncio.get_event_loop()
        return asyncio.run(drink())

    with ThreadPoolExecutor(thread_name_prefix="Thread-1") as threads:
        assert threads.submit(work).result() == "oolong"


@pytest.mark.filterwarnings("ignore")
def test_a_loop_made_for_the_thread_is_a_different_one(
    database_url: str, caplog: pytest.LogCaptureFixture
) -> None:
    engine = create_async_engine(database_url)

    def work() -> None:
        asyncio.set_event_loop(asyncio.new_event_loop())
        loop = asyncio.get_event_loop()
        with pytest.raises(RuntimeError, match="attached to a different loop"):
            loop.run_until_complete(order(engine))
        loop.close()

    application = asyncio.new_event_loop()  # it stands still: two that run may crash the process
    application.run_until_complete(order(engine))
    with ThreadPoolExecutor() as threads:
        threads.submit(work).result()
    application.run_until_complete(engine.dispose(close=False))
    application.close()
    let_go(caplog)


@pytest.mark.skipif(sys.version_info < (3, 14), reason="until then it made a loop, or warned")
def test_from_3_14_on_the_main_thread_has_none_either() -> None:
    program = "import asyncio; asyncio.get_event_loop()"
    ran = subprocess.run([sys.executable, "-c", program], capture_output=True, encoding="utf-8")
    assert "There is no current event loop in thread 'MainThread'" in ran.stderr


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
