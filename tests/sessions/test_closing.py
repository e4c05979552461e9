"""What the page on closing sessions claims beyond the lines that its snippets print."""

import asyncio
import gc
import traceback
from collections.abc import AsyncIterator, Callable, Coroutine
from contextlib import aclosing, suppress
from typing import Annotated

import anyio
import asyncpg  # type: ignore[import-untyped]
import httpx
import pytest
from fastapi import Depends, FastAPI, HTTPException
from sqlalchemy import ForeignKey, create_engine, event, select, text
from sqlalchemy.exc import (
    DBAPIError,
    IllegalStateChangeError,
    InterfaceError,
    InvalidRequestError,
    SAWarning,
    TimeoutError,
)
from sqlalchemy.ext.asyncio import (
    AsyncConnection,
    AsyncEngine,
    AsyncSession,
    async_sessionmaker,
)
from sqlalchemy.orm import (
    DeclarativeBase,
    Mapped,
    Session,
    mapped_column,
    relationship,
    selectinload,
)
from sqlalchemy.orm.exc import DetachedInstanceError

from tests.asking import end_backend, until_ended
from tests.pools import MakeEngine, checked_out, leaves_open, one_connection, record, with_psycopg
from tests.waiting import eventually

SELECT = text("SELECT 'oolong'")
Work = Callable[[AsyncEngine], Coroutine[None, None, None]]
Lose = Callable[[AsyncSession, AsyncConnection], Coroutine[None, None, None]]


class Base(DeclarativeBase):
    pass


class Guest(Base):
    __tablename__ = "guests"
    id: Mapped[int] = mapped_column(primary_key=True)
    orders: Mapped[list["Order"]] = relationship()


class Order(Base):
    __tablename__ = "orders"
    id: Mapped[int] = mapped_column(primary_key=True)
    drink: Mapped[str]
    guest_id: Mapped[int | None] = mapped_column(ForeignKey("guests.id"))


@pytest.fixture
def engine(make_engine: MakeEngine) -> AsyncEngine:
    return one_connection(make_engine)


async def test_a_block_without_sql_borrows_no_connection(engine: AsyncEngine) -> None:
    happened = record(engine, "checkout")
    async with AsyncSession(engine) as session:
        session.add(Order(drink="oolong"))
    assert happened == []


async def test_an_exception_leaves_the_block_when_the_connection_is_back(
    engine: AsyncEngine,
) -> None:
    async def fail() -> None:
        async with AsyncSession(engine) as session:
            await session.execute(SELECT)
            raise LookupError("out of oolong")

    with pytest.raises(LookupError):
        await fail()
    assert checked_out(engine) == 0


async def test_a_query_that_is_cancelled_costs_its_connection_and_no_place_in_the_pool(
    engine: AsyncEngine, watcher: AsyncConnection
) -> None:
    sleeping = text("SELECT count(*) FROM pg_stat_activity WHERE wait_event = 'PgSleep'")

    async def work() -> None:
        async with AsyncSession(engine) as session:
            await session.execute(text("SELECT pg_sleep(60)"))

    happened = record(engine, "invalidate", "close")
    task = asyncio.create_task(work())
    await eventually("the query runs", lambda: watcher.scalar(sleeping))
    task.cancel()
    await asyncio.wait([task])
    assert (happened, checked_out(engine)) == (["invalidate", "close"], 0)


@pytest.mark.parametrize("closed", [False, True])
async def test_close_inside_a_begin_block_loses_its_work_without_an_error(
    engine: AsyncEngine, closed: bool
) -> None:
    async with engine.begin() as connection:
        await connection.run_sync(Base.metadata.create_all)
    async with AsyncSession(engine) as session, session.begin():
        session.add(Order(drink="oolong"))
        await session.flush()
        if closed:
            await session.close()
    async with AsyncSession(engine) as session:
        assert len((await session.scalars(select(Order))).all()) == (0 if closed else 1)


async def test_a_session_used_after_its_block_keeps_its_connection_from_others(
    engine: AsyncEngine,
) -> None:
    async with AsyncSession(engine) as late, AsyncSession(engine) as other:
        async with late:
            await late.execute(SELECT)
        await late.execute(SELECT)
        with pytest.raises(TimeoutError, match="QueuePool limit of size 1 overflow 0 reached"):
            await other.execute(SELECT)


@pytest.mark.parametrize("end", ["commit", "rollback", "close"])
async def test_a_session_used_after_its_block_gives_back_at_its_next_end(
    engine: AsyncEngine, end: str
) -> None:
    async with AsyncSession(engine) as session:
        pass
    await session.execute(SELECT)
    assert checked_out(engine) == 1
    await getattr(session, end)()
    assert checked_out(engine) == 0


@pytest.mark.parametrize("begun", [False, True])
async def test_a_session_upon_a_connection_leaves_it_lent_and_rolls_back_its_own_transaction(
    engine: AsyncEngine, begun: bool
) -> None:
    async with engine.connect() as connection:
        if begun:
            await connection.execute(SELECT)
        async with AsyncSession(connection) as session:
            await session.execute(text("CREATE TABLE tray (drink text)"))
        assert (checked_out(engine), connection.in_transaction()) == (1, begun)
        await connection.commit()
        assert await connection.scalar(text("SELECT to_regclass('tray') IS NOT NULL")) is begun


async def test_a_session_upon_a_connection_in_a_savepoint_rolls_back_to_it(
    engine: AsyncEngine,
) -> None:
    async with engine.connect() as connection:
        async with connection.begin_nested(), AsyncSession(connection) as session:
            await session.execute(text("CREATE TABLE tray (drink text)"))
        await connection.commit()
        assert await connection.scalar(text("SELECT to_regclass('tray') IS NULL"))


@leaves_open
async def test_a_forgotten_session_is_ended_by_the_garbage_collector_with_a_warning(
    engine: AsyncEngine,
) -> None:
    async def forget() -> None:
        async with AsyncSession(engine) as session:
            pass
        await session.execute(SELECT)

    gc.disable()
    try:
        await forget()
        assert checked_out(engine) == 1
        with pytest.warns(SAWarning, match="garbage collector is trying to clean up non-checked"):
            gc.collect()
        assert checked_out(engine) == 0
    finally:
        gc.enable()


async def test_aclose_is_close_for_aclosing(engine: AsyncEngine) -> None:
    happened = record(engine, "checkin")
    session = AsyncSession(engine)
    await session.execute(SELECT)
    await session.aclose()
    await session.aclose()
    assert happened == ["checkin"]


async def test_a_session_can_be_told_to_stay_closed(engine: AsyncEngine) -> None:
    async_session = async_sessionmaker(engine, close_resets_only=False)
    async with async_session() as session:
        await session.execute(SELECT)
    with pytest.raises(
        InvalidRequestError,
        match="This Session has been permanently closed and is unable to handle any more "
        "transaction requests",
    ):
        await session.execute(SELECT)


async def test_the_block_waits_for_close_although_it_was_cancelled(engine: AsyncEngine) -> None:
    closing, go_on = asyncio.Event(), asyncio.Event()

    class Slow(AsyncSession):
        async def close(self) -> None:
            closing.set()
            await go_on.wait()
            await super().close()

    async def work() -> None:
        async with Slow(engine) as session:
            await session.execute(SELECT)

    task = asyncio.create_task(work())
    await closing.wait()
    for _ in range(3):
        task.cancel()
        await asyncio.wait([task], timeout=0.05)
        assert not task.done()
    go_on.set()
    await asyncio.wait([task])
    assert task.cancelled()
    assert checked_out(engine) == 0


async def work_in_a_block(engine: AsyncEngine) -> None:
    async with AsyncSession(engine) as session:
        await session.execute(SELECT)


async def work_with_finally(engine: AsyncEngine) -> None:
    session = AsyncSession(engine)
    try:
        await session.execute(SELECT)
    finally:
        await session.close()


async def work_with_aclosing(engine: AsyncEngine) -> None:
    async with aclosing(AsyncSession(engine)) as session:
        await session.execute(SELECT)


async def work_in_a_block_with_an_extra_close(engine: AsyncEngine) -> None:
    async with AsyncSession(engine) as session:
        await session.execute(SELECT)
        await session.close()


every_way_to_close = pytest.mark.parametrize(
    ("work", "expected"),
    [
        (work_in_a_block, ["checkin"]),
        (work_with_finally, ["invalidate", "close", "checkin"]),
        (work_with_aclosing, ["invalidate", "close", "checkin"]),
        (work_in_a_block_with_an_extra_close, ["invalidate", "close", "checkin"]),
    ],
)


@every_way_to_close
async def test_a_second_cancellation_during_close_changes_nothing(
    engine: AsyncEngine, work: Work, expected: list[str]
) -> None:
    happened = record(engine, "invalidate", "close", "checkin")
    task = asyncio.create_task(work(engine))

    def cancel_twice(_: object) -> None:
        task.cancel()
        asyncio.get_running_loop().call_soon(task.cancel)

    event.listen(engine.sync_engine, "rollback", cancel_twice, once=True)
    await asyncio.wait([task])
    assert task.cancelled()
    assert happened == expected
    assert checked_out(engine) == 0


@every_way_to_close
async def test_a_cancel_scope_of_anyio_spares_the_connection_of_a_block_only(
    engine: AsyncEngine, work: Work, expected: list[str]
) -> None:
    happened = record(engine, "invalidate", "close", "checkin")
    with anyio.CancelScope() as scope:
        event.listen(engine.sync_engine, "rollback", lambda _: scope.cancel(), once=True)
        await work(engine)
    assert scope.cancelled_caught
    assert happened == expected


async def test_a_lost_connection_is_opened_anew_by_the_next_borrower(engine: AsyncEngine) -> None:
    opened = record(engine, "connect")
    task = asyncio.create_task(work_with_finally(engine))
    event.listen(engine.sync_engine, "rollback", lambda _: task.cancel(), once=True)
    await asyncio.wait([task])
    await work_in_a_block(engine)
    assert opened == ["connect", "connect"]


async def test_an_object_keeps_the_id_of_its_rolled_back_row(engine: AsyncEngine) -> None:
    async with engine.begin() as connection:
        await connection.run_sync(Base.metadata.create_all)
    async with AsyncSession(engine) as session:
        order = Order(drink="oolong")
        session.add(order)
        await session.flush()
    assert order.id == 1
    async with AsyncSession(engine) as session:
        assert await session.get(Order, 1) is None


async def test_an_expired_object_cannot_be_refreshed_after_the_block(engine: AsyncEngine) -> None:
    async with engine.begin() as connection:
        await connection.run_sync(Base.metadata.create_all)
    async with AsyncSession(engine) as session:
        order = Order(drink="oolong")
        session.add(order)
        await session.commit()
    with pytest.raises(
        DetachedInstanceError,
        match=r"^Instance <Order at 0x[0-9a-f]+> is not bound to a Session; "
        "attribute refresh operation cannot proceed",
    ):
        print(order.drink)


async def test_a_relationship_that_was_not_loaded_stays_out_of_reach(engine: AsyncEngine) -> None:
    async with engine.begin() as connection:
        await connection.run_sync(Base.metadata.create_all)
    async with AsyncSession(engine, expire_on_commit=False) as session:
        session.add(Guest(orders=[Order(drink="oolong")]))
        await session.commit()
    async with AsyncSession(engine) as session:
        bare = await session.scalar(select(Guest))
        assert bare is not None
    with pytest.raises(DetachedInstanceError, match="is not bound to a Session; lazy load"):
        print(bare.orders)
    async with AsyncSession(engine) as session:
        loaded = await session.scalar(select(Guest).options(selectinload(Guest.orders)))
        assert loaded is not None
    assert [order.drink for order in loaded.orders] == ["oolong"]


async def test_close_while_the_session_connects_is_refused(engine: AsyncEngine) -> None:
    async with AsyncSession(engine) as session:
        results = await asyncio.gather(
            session.execute(SELECT), session.close(), return_exceptions=True
        )
    assert isinstance(results[1], IllegalStateChangeError)
    assert str(results[1]).startswith(
        "Method 'close()' can't be called here; method '_connection_for_bind()' is already in "
        "progress and this would cause an unexpected state change to "
        "<SessionTransactionState.CLOSED: 5>"
    )


async def test_close_while_a_query_runs_fails_and_strands_the_connection(
    engine: AsyncEngine,
) -> None:
    running = asyncio.Event()

    async def close_too_soon() -> None:
        session = AsyncSession(engine)
        await session.execute(SELECT)
        event.listen(engine.sync_engine, "before_cursor_execute", lambda *_: running.set())
        query = asyncio.create_task(session.execute(text("SELECT pg_sleep(0.2)")))
        await running.wait()
        with pytest.raises(InterfaceError, match="another operation is in progress"):
            await session.close()
        await query
        await session.close()
        assert checked_out(engine) == 1

    await close_too_soon()
    await asyncio.sleep(0)  # the loop lets go of the finished task
    with pytest.warns(SAWarning, match="non-checked-in connection"):
        gc.collect()
    assert checked_out(engine) == 0


async def others_have_ended() -> None:
    if others := asyncio.all_tasks() - {asyncio.current_task()}:
        await asyncio.wait(others)


async def test_a_gather_that_fails_leaves_the_connection_of_its_session_out(
    engine: AsyncEngine,
) -> None:
    async def share() -> None:
        async with AsyncSession(engine) as session:
            await asyncio.gather(session.execute(SELECT), session.execute(SELECT))

    gc.disable()
    try:
        with pytest.raises(IllegalStateChangeError, match="Method 'close\\(\\)' can't be called"):
            await share()
        await others_have_ended()
        await asyncio.sleep(0)  # the loop lets go of them
        assert checked_out(engine) == 1
        with pytest.raises(TimeoutError, match="QueuePool limit of size 1 overflow 0 reached"):
            await work_in_a_block(engine)
        with pytest.warns(SAWarning, match="non-checked-in connection"):
            gc.collect()
        await work_in_a_block(engine)
    finally:
        gc.enable()


async def test_a_kept_traceback_keeps_the_connection_of_a_session_without_a_block(
    engine: AsyncEngine,
) -> None:
    async def fail() -> None:
        session = AsyncSession(engine)
        await session.execute(SELECT)
        raise LookupError("out of oolong")

    kept: list[LookupError] = []
    try:
        await fail()
    except LookupError as error:
        kept.append(error)
    gc.collect()
    assert checked_out(engine) == 1

    def let_go() -> None:
        kept.clear()
        gc.collect()

    with pytest.warns(SAWarning, match="non-checked-in connection"):
        let_go()
    assert checked_out(engine) == 0


def test_a_synchronous_block_rolls_back_and_returns_too(database_url: str) -> None:
    engine = create_engine(with_psycopg(database_url), pool_size=1, max_overflow=0)
    happened: list[str] = []
    for name in ("rollback", "commit", "checkin"):
        event.listen(engine, name, lambda *_, name=name: happened.append(name))
    with suppress(LookupError), Session(engine) as session:
        session.execute(SELECT)
        raise LookupError("out of oolong")
    assert happened == ["rollback", "checkin"]
    engine.dispose()


# The server ends the connection


async def heard_of_it(session: AsyncSession) -> None:
    """Until asyncpg knows that its line is closed; psycopg looks when it is used."""
    raw = await (await session.connection()).get_raw_connection()
    if isinstance(raw.driver_connection, asyncpg.Connection):
        await eventually("asyncpg knows of the end", raw.driver_connection.is_closed)


async def lose_connection(session: AsyncSession, watcher: AsyncConnection) -> None:
    pid = await session.scalar(text("SELECT pg_backend_pid()"))
    await end_backend(watcher, pid)
    await heard_of_it(session)


async def wait_in_a_transaction(session: AsyncSession, watcher: AsyncConnection) -> None:
    """Until the server has enough of it."""
    pid = await session.scalar(text("SELECT pg_backend_pid()"))
    await session.execute(text("SET LOCAL idle_in_transaction_session_timeout = '50ms'"))
    await until_ended(watcher, pid)
    await heard_of_it(session)


@pytest.mark.parametrize("begin", [False, True])
@pytest.mark.parametrize("lose", [lose_connection, wait_in_a_transaction])
@pytest.mark.parametrize("psycopg", [False, True], ids=["asyncpg", "psycopg"])
async def test_an_end_by_the_server_replaces_the_exception_of_the_code(
    database_url: str,
    make_engine: MakeEngine,
    watcher: AsyncConnection,
    psycopg: bool,
    lose: Lose,
    begin: bool,
) -> None:
    engine = make_engine(with_psycopg(database_url) if psycopg else database_url)
    async_session = async_sessionmaker(engine)
    said = "the underlying connection is closed"
    if psycopg:
        said = "administrator command" if lose is lose_connection else "idle-in-transaction timeout"
        said += "|server closed the connection unexpectedly"  # where its words came too late

    async def work() -> None:
        async with async_session.begin() if begin else async_session() as session:
            await lose(session, watcher)
            raise LookupError("out of oolong")

    with pytest.raises(DBAPIError, match=said) as caught:
        await work()
    assert isinstance(caught.value.__context__, LookupError)
    assert "out of oolong" not in "".join(traceback.format_exception(caught.value))
    assert checked_out(engine) == 0
    await work_in_a_block(engine)


async def test_the_exception_of_the_code_may_stand_further_down_the_chain(
    engine: AsyncEngine, watcher: AsyncConnection
) -> None:
    async def work() -> None:
        async with AsyncSession(engine) as session, session.begin():
            await lose_connection(session, watcher)
            raise LookupError("out of oolong")

    with pytest.raises(DBAPIError, match="the underlying connection is closed") as caught:
        await work()
    chain: list[BaseException] = [caught.value]
    while chain[-1].__context__:
        chain.append(chain[-1].__context__)
    assert [isinstance(error, LookupError) for error in chain[:2]] == [False, False]
    assert isinstance(chain[-1], LookupError)


async def test_nothing_of_the_block_is_saved_if_the_server_ended_its_connection(
    engine: AsyncEngine, watcher: AsyncConnection
) -> None:
    async with engine.begin() as connection:
        await connection.run_sync(Base.metadata.create_all)

    async def work() -> None:
        async with async_sessionmaker(engine).begin() as session:
            session.add(Order(drink="oolong"))
            await session.flush()
            await lose_connection(session, watcher)

    with pytest.raises(DBAPIError, match=r"cannot call Transaction\.commit\(\)"):
        await work()
    async with AsyncSession(engine) as session:
        assert (await session.scalars(select(Order))).all() == []


async def test_pre_ping_does_not_spare_a_transaction_its_end(
    make_engine: MakeEngine, watcher: AsyncConnection
) -> None:
    engine = make_engine(pool_pre_ping=True)
    with pytest.raises(DBAPIError, match="the underlying connection is closed"):
        async with AsyncSession(engine) as session:
            await lose_connection(session, watcher)


async def test_a_replaced_http_exception_reaches_the_client_as_a_500(
    engine: AsyncEngine, watcher: AsyncConnection
) -> None:
    async def get_session() -> AsyncIterator[AsyncSession]:
        async with AsyncSession(engine) as session:
            yield session

    app = FastAPI()

    @app.get("/")
    async def endpoint(session: Annotated[AsyncSession, Depends(get_session)]) -> None:
        await lose_connection(session, watcher)
        raise HTTPException(404, "out of oolong")

    transport = httpx.ASGITransport(app, raise_app_exceptions=False)
    async with httpx.AsyncClient(transport=transport, base_url="http://teahouse") as client:
        assert (await client.get("/")).status_code == 500


@pytest.mark.parametrize("reason", [None, LookupError, asyncio.CancelledError])
async def test_begin_commits_at_its_end_and_else_rolls_back(
    engine: AsyncEngine, reason: type[BaseException] | None
) -> None:
    happened = record(engine, "commit", "rollback", "checkin")
    with suppress(LookupError, asyncio.CancelledError):
        async with async_sessionmaker(engine).begin() as session:
            await session.execute(SELECT)
            if reason:
                raise reason
    assert happened == ["rollback" if reason else "commit", "checkin"]
