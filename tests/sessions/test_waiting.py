"""What the page on waiting claims beyond the lines that its snippets print."""

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable
from typing import Annotated

import anyio
import httpx
import pytest
from fastapi import Depends, FastAPI
from fastapi.responses import StreamingResponse
from sqlalchemy import ForeignKey, event, select, text, update
from sqlalchemy.engine.interfaces import IsolationLevel
from sqlalchemy.exc import DBAPIError, MissingGreenlet
from sqlalchemy.ext.asyncio import AsyncConnection, AsyncEngine, AsyncSession
from sqlalchemy.orm import DeclarativeBase, Mapped, mapped_column, relationship, selectinload
from sqlalchemy.orm.exc import DetachedInstanceError

from tests.pools import MakeEngine, checked_out
from tests.waiting import eventually

SELECT = text("SELECT 'oolong'")


class Base(DeclarativeBase):
    pass


class Order(Base):
    __tablename__ = "orders"
    id: Mapped[int] = mapped_column(primary_key=True)
    drink: Mapped[str]


@pytest.fixture
async def engine(make_engine: MakeEngine) -> AsyncEngine:
    engine = make_engine(pool_size=2, max_overflow=0)
    async with engine.begin() as connection:
        await connection.run_sync(Base.metadata.create_all)
    async with AsyncSession(engine) as session:
        session.add(Order(drink="oolong"))
        await session.commit()
    return engine


@pytest.mark.parametrize(("commit", "at_once"), [(True, 10), (False, 2)])
async def test_who_commits_before_the_wait_lets_all_wait_at_once(
    engine: AsyncEngine, commit: bool, at_once: int
) -> None:
    waiting, answered = 0, asyncio.Event()

    async def request() -> None:
        nonlocal waiting
        async with AsyncSession(engine) as session:
            await session.execute(SELECT)
            if commit:
                await session.commit()
            waiting += 1
            await answered.wait()

    async with asyncio.TaskGroup() as group:
        for _ in range(10):
            group.create_task(request())
        await eventually(f"{at_once} wait for the answer", lambda: waiting >= at_once)
        assert checked_out(engine) == (0 if commit else 2)  # of two: nobody else gets one
        assert waiting == at_once
        answered.set()


async def test_commit_is_sent_instead_of_the_rollback(engine: AsyncEngine) -> None:
    ended: list[str] = []
    event.listen(engine.sync_engine, "commit", lambda _: ended.append("commit"))
    event.listen(engine.sync_engine, "rollback", lambda _: ended.append("rollback"))
    async with AsyncSession(engine) as session:
        await session.execute(SELECT)
        await session.commit()
    async with AsyncSession(engine) as session:
        await session.execute(SELECT)
    assert ended == ["commit", "rollback"]


# Streams


async def lent_during_the_stream(
    engine: AsyncEngine, endpoint: Callable[..., Awaitable[StreamingResponse]]
) -> list[int]:
    app = FastAPI()
    app.get("/")(endpoint)
    web = httpx.ASGITransport(app)
    async with httpx.AsyncClient(transport=web, base_url="http://t") as client:
        return [int(number) for number in (await client.get("/")).text.split()]


async def test_scope_function_closes_the_session_before_the_stream(engine: AsyncEngine) -> None:
    async def get_session() -> AsyncIterator[AsyncSession]:
        async with AsyncSession(engine) as session:
            yield session

    async def words() -> AsyncIterator[str]:
        yield f"{checked_out(engine)} "

    async def answer(
        session: Annotated[AsyncSession, Depends(get_session, scope="function")],
    ) -> StreamingResponse:
        await session.execute(SELECT)
        return StreamingResponse(words())

    assert await lent_during_the_stream(engine, answer) == [0]


async def test_a_session_around_each_use_is_closed_between_the_words(engine: AsyncEngine) -> None:
    async def words() -> AsyncIterator[str]:
        for _ in range(2):
            async with AsyncSession(engine) as session:
                await session.execute(SELECT)
            yield f"{checked_out(engine)} "

    async def answer() -> StreamingResponse:
        return StreamingResponse(words())

    assert await lent_during_the_stream(engine, answer) == [0, 0]


async def test_a_connection_as_dependency_is_kept_after_its_commit(engine: AsyncEngine) -> None:
    async def get_connection() -> AsyncIterator[AsyncConnection]:
        async with engine.connect() as connection:
            yield connection

    async def words() -> AsyncIterator[str]:
        yield f"{checked_out(engine)} "

    async def answer(
        connection: Annotated[AsyncConnection, Depends(get_connection)],
    ) -> StreamingResponse:
        await connection.execute(SELECT)
        await connection.commit()
        return StreamingResponse(words())

    assert await lent_during_the_stream(engine, answer) == [1]


async def test_a_server_side_stream_keeps_its_connection(engine: AsyncEngine) -> None:
    async with AsyncSession(engine) as session:
        rows = await session.stream(text("SELECT generate_series(1, 3)"))
        assert [checked_out(engine) async for _ in rows] == [1, 1, 1]


@pytest.mark.parametrize(("batches", "sees_the_second"), [(True, True), (False, False)])
async def test_a_batch_sees_what_was_committed_since_the_last_one(
    engine: AsyncEngine, batches: bool, sees_the_second: bool
) -> None:
    query = select(Order.id).order_by(Order.id)

    async def in_batches() -> AsyncIterator[int]:
        last: int | None = 0
        while last is not None:
            async with AsyncSession(engine) as session:
                last = await session.scalar(query.where(Order.id > last).limit(1))
            if last is not None:
                yield last

    async def at_one_moment() -> AsyncIterator[int]:
        async with AsyncSession(engine) as session:
            async for row in await session.stream(query, execution_options={"yield_per": 1}):
                yield row.id

    read: list[int] = []
    async for id in in_batches() if batches else at_one_moment():
        if not read:
            async with AsyncSession(engine) as another, another.begin():
                another.add(Order(drink="sencha"))
        read.append(id)
        assert checked_out(engine) == (0 if batches else 1)
    assert (len(read) == 2) is sees_the_second


@pytest.mark.parametrize(
    ("level", "read"),
    [("READ COMMITTED", ["oolong", "sencha"]), ("REPEATABLE READ", ["oolong", "oolong"])],
)
async def test_what_selectinload_adds_to_a_stream_is_of_its_moment_only_in_repeatable_read(
    engine: AsyncEngine, level: IsolationLevel, read: list[str]
) -> None:
    class Base(DeclarativeBase):
        pass

    class Guest(Base):
        __tablename__ = "guests"
        id: Mapped[int] = mapped_column(primary_key=True)
        cups: Mapped[list["Cup"]] = relationship()

    class Cup(Base):
        __tablename__ = "cups"
        id: Mapped[int] = mapped_column(primary_key=True)
        guest: Mapped[int] = mapped_column(ForeignKey(Guest.id))
        tea: Mapped[str]

    async with engine.begin() as connection:
        await connection.run_sync(Base.metadata.create_all)
    async with AsyncSession(engine) as session, session.begin():
        session.add_all(Guest(cups=[Cup(tea="oolong")]) for _ in range(2))
    query = select(Guest).options(selectinload(Guest.cups)).order_by(Guest.id)
    teas: list[str] = []
    async with AsyncSession(engine) as session:
        await session.connection(execution_options={"isolation_level": level})
        async for guest in await session.stream_scalars(query, execution_options={"yield_per": 1}):
            teas.append(guest.cups[0].tea)
            async with engine.begin() as another:
                await another.execute(update(Cup).values(tea="sencha"))
    assert teas == read


# Before the wait


async def load(session: AsyncSession) -> Order:
    return (await session.scalars(select(Order))).one()


async def test_commit_returns_and_keeps_objects_readable_if_told(engine: AsyncEngine) -> None:
    async with AsyncSession(engine, expire_on_commit=False) as session:
        order = await load(session)
        await session.commit()
        assert (checked_out(engine), order.drink) == (0, "oolong")
    async with AsyncSession(engine) as session:
        order = await load(session)
        await session.commit()
        with pytest.raises(MissingGreenlet):
            print(order.drink)


async def test_rollback_returns_and_expires_in_any_case(engine: AsyncEngine) -> None:
    async with AsyncSession(engine, expire_on_commit=False) as session:
        order = await load(session)
        await session.rollback()
        assert checked_out(engine) == 0
        with pytest.raises(MissingGreenlet):
            print(order.drink)


async def test_close_returns_and_detaches(engine: AsyncEngine) -> None:
    async with AsyncSession(engine) as session:
        order = await load(session)
        await session.close()
        assert (checked_out(engine), order.drink) == (0, "oolong")
        order.drink = "pu-erh"
        await session.commit()
    async with AsyncSession(engine) as session:
        assert (await load(session)).drink == "oolong"
        session.expire(order := await load(session))
    with pytest.raises(DetachedInstanceError):
        print(order.drink)


async def test_a_begin_block_around_the_reads_returns_at_its_end(engine: AsyncEngine) -> None:
    async with AsyncSession(engine, expire_on_commit=False) as session:
        async with session.begin():
            order = await load(session)
            assert checked_out(engine) == 1
        assert (checked_out(engine), order.drink) == (0, "oolong")


async def test_expunging_everything_returns_nothing(engine: AsyncEngine) -> None:
    async with AsyncSession(engine) as session:
        await load(session)
        session.expunge_all()
        assert checked_out(engine) == 1


async def test_coming_back_is_a_new_checkout(engine: AsyncEngine) -> None:
    happened: list[str] = []
    event.listen(engine.sync_engine, "checkout", lambda *_: happened.append("checkout"))
    async with AsyncSession(engine) as session:
        await session.execute(SELECT)
        await session.commit()
        await session.execute(SELECT)
    assert happened == ["checkout", "checkout"]


# What you give up


async def test_a_row_locked_for_update_stays_locked_while_the_session_waits(
    engine: AsyncEngine,
) -> None:
    lock = text("SELECT drink FROM orders FOR UPDATE")
    skip = text("SELECT drink FROM orders FOR UPDATE SKIP LOCKED")
    async with AsyncSession(engine) as holder, AsyncSession(engine) as other:
        await holder.execute(lock)
        assert list(await other.scalars(skip)) == []
        await holder.commit()
        assert list(await other.scalars(skip)) == ["oolong"]


async def race_for_one_row(
    make_engine: MakeEngine, watcher: AsyncConnection, isolation_level: IsolationLevel
) -> tuple[object, object]:
    """What two sessions get that claim one row, the second before the first has committed."""
    engine = make_engine(isolation_level=isolation_level)
    claim = text("UPDATE orders SET drink = 'paying' WHERE drink = 'oolong' RETURNING drink")
    waiting = text("SELECT count(*) FROM pg_locks WHERE NOT granted")
    async with AsyncSession(engine) as first, AsyncSession(engine) as second:
        won = await first.scalar(claim)
        losing = asyncio.create_task(second.scalar(claim))
        await eventually("the second waits for the first", lambda: watcher.scalar(waiting))
        await first.commit()
        results = await asyncio.gather(losing, return_exceptions=True)
        await second.rollback()
    return won, results[0]


async def test_under_read_committed_the_loser_of_a_claim_finds_no_row(
    engine: AsyncEngine, make_engine: MakeEngine, watcher: AsyncConnection
) -> None:
    assert await race_for_one_row(make_engine, watcher, "READ COMMITTED") == ("paying", None)


@pytest.mark.parametrize("level", ["REPEATABLE READ", "SERIALIZABLE"])
async def test_under_a_stricter_isolation_the_loser_of_a_claim_gets_40001(
    engine: AsyncEngine,
    make_engine: MakeEngine,
    watcher: AsyncConnection,
    level: IsolationLevel,
) -> None:
    won, lost = await race_for_one_row(make_engine, watcher, level)
    assert won == "paying"
    assert isinstance(lost, DBAPIError)
    assert "could not serialize access due to concurrent update" in str(lost)
    assert getattr(lost.orig, "sqlstate", None) == "40001"


@pytest.mark.parametrize("state_is_set", [True, False])
async def test_a_job_is_skipped_while_it_is_locked_and_afterwards_if_its_state_is_set(
    engine: AsyncEngine, state_is_set: bool
) -> None:
    waiting = select(Order).where(Order.drink != "taken").order_by(Order.id)
    take = waiting.with_for_update(skip_locked=True).limit(1)
    async with AsyncSession(engine) as one, AsyncSession(engine) as other:
        other.add(Order(drink="longjing"))
        await other.commit()
        mine = await one.scalar(take)
        assert mine
        assert (await other.scalars(take)).one().drink == "longjing"
        await other.rollback()
        mine.drink = "taken" if state_is_set else mine.drink
        await one.commit()
        assert checked_out(engine) == 0
        assert (await other.scalars(take)).one().drink == ("longjing" if state_is_set else "oolong")


# The call failed


async def test_except_does_not_run_when_the_task_is_cancelled_during_the_wait() -> None:
    undone: list[str] = []
    waiting = asyncio.Event()

    async def order() -> None:
        try:
            waiting.set()
            await asyncio.Event().wait()
        except Exception:
            undone.append("undone")

    task = asyncio.create_task(order())
    await waiting.wait()
    task.cancel()
    await asyncio.wait([task])
    assert undone == []


async def test_rollback_takes_back_nothing_that_was_committed(engine: AsyncEngine) -> None:
    async with AsyncSession(engine) as session:
        session.add(Order(drink="pu-erh"))
        await session.commit()
        await session.rollback()
        assert await session.scalar(text("SELECT count(*) FROM orders")) == 2


# A blocked loop


async def test_the_debug_mode_of_asyncio_logs_from_a_tenth_of_a_second() -> None:
    assert asyncio.get_running_loop().slow_callback_duration == 0.1


@pytest.mark.parametrize(
    ("how", "saved"),
    [("awaited", 0), ("in except", 0), ("shielded in except", 1), ("a task of its own", 1)],
)
async def test_what_a_cancelled_stream_saves(engine: AsyncEngine, how: str, saved: int) -> None:
    tasks = []

    async def save() -> None:
        async with AsyncSession(engine) as session, session.begin():
            session.add(Order(drink=how))

    async def stream() -> None:
        try:
            await anyio.sleep_forever()
        except asyncio.CancelledError:
            if how.endswith("in except"):
                with anyio.move_on_after(5, shield=how.startswith("shielded")):
                    await save()
            raise
        finally:
            if how == "awaited":
                await save()
            elif how == "a task of its own":
                tasks.append(asyncio.create_task(save()))

    async with anyio.create_task_group() as group:
        group.start_soon(stream)
        await anyio.lowlevel.checkpoint()
        group.cancel_scope.cancel()
    await asyncio.gather(*tasks)
    async with AsyncSession(engine) as session:
        orders = await session.scalars(select(Order).where(Order.drink == how))
        assert len(orders.all()) == saved
