"""What the page on lazy loading claims beyond the lines that its snippets print."""

import warnings
from collections.abc import AsyncIterator, Awaitable, Callable

import pytest
import sqlalchemy
from sqlalchemy import ForeignKey, event, select
from sqlalchemy.exc import MissingGreenlet
from sqlalchemy.ext.asyncio import AsyncAttrs, AsyncEngine, AsyncSession, create_async_engine
from sqlalchemy.orm import DeclarativeBase, Mapped, mapped_column, relationship, selectinload

from tests.pools import checked_out
from tests.report import report
from tools.rooms import DOCS, LANGUAGES

EDITION = (2, 0) if sqlalchemy.__version__.startswith("2.0") else (2, 1)
CALL = {(2, 0): "await_only()", (2, 1): "await_()"}[EDITION]


class Base(AsyncAttrs, DeclarativeBase):
    pass


class Guest(Base):
    __tablename__ = "guests"
    id: Mapped[int] = mapped_column(primary_key=True)
    orders: Mapped[list["Order"]] = relationship()


class Order(Base):
    __tablename__ = "orders"
    id: Mapped[int] = mapped_column(primary_key=True)
    guest_id: Mapped[int] = mapped_column(ForeignKey("guests.id"))


@pytest.fixture
async def engine(database_url: str) -> AsyncIterator[AsyncEngine]:
    """An engine whose database has two guests with two orders each."""
    engine = create_async_engine(database_url)
    async with engine.begin() as connection:
        await connection.run_sync(Base.metadata.create_all)
    async with AsyncSession(engine) as session, session.begin():
        session.add_all(Guest(orders=[Order(), Order()]) for _ in range(2))
    yield engine
    await engine.dispose()


async def test_the_error_reads_as_the_page_says(engine: AsyncEngine) -> None:
    async with AsyncSession(engine) as session:
        guest = await session.get_one(Guest, 1)
        with pytest.raises(MissingGreenlet) as raised:
            print(guest.orders)
    said = str(raised.value).partition(" (Background")[0]
    assert CALL in said
    report(
        f"docs/{language}/sessions/lazy.md: does not quote `{said}`; copy it there"
        for language in LANGUAGES
        if said not in (DOCS / language / "sessions/lazy.md").read_text("utf-8")
    )


@pytest.mark.parametrize("cold", [False, True])
@pytest.mark.parametrize("pre_ping", [False, True])
async def test_a_session_works_on_after_missing_greenlet(
    engine: AsyncEngine, cold: bool, pre_ping: bool
) -> None:
    tried = create_async_engine(engine.url, pool_pre_ping=pre_ping)
    async with AsyncSession(tried) as session:
        guest = await session.get_one(Guest, 1)
        await session.commit()
        if cold:
            await tried.dispose()
        with (
            warnings.catch_warnings(record=True, action="always") as caught,
            pytest.raises(MissingGreenlet),
        ):
            print(guest.orders)
        never_awaited = ["coroutine 'connect' was never awaited" in str(w.message) for w in caught]
        assert any(never_awaited) == (cold and EDITION == (2, 1))
        assert len((await session.scalars(select(Order))).all()) == 4
    assert checked_out(tried) == 0
    await tried.dispose()


@pytest.mark.parametrize("end", [AsyncSession.rollback, AsyncSession.commit, AsyncSession.close])
async def test_the_connection_left_out_comes_back_with_the_end_of_the_transaction(
    engine: AsyncEngine, end: Callable[[AsyncSession], Awaitable[None]]
) -> None:
    async with AsyncSession(engine) as session:
        guest = await session.get_one(Guest, 1)
        await session.commit()
        with pytest.raises(MissingGreenlet):
            print(guest.orders)
        assert checked_out(engine) == 1
        await end(session)
        assert checked_out(engine) == 0


async def refresh(session: AsyncSession, guest: Guest) -> None:
    await session.refresh(guest, attribute_names=["orders"])


async def awaitable_attrs(_: AsyncSession, guest: Guest) -> None:
    await guest.awaitable_attrs.orders


async def run_sync(session: AsyncSession, guest: Guest) -> None:
    await session.run_sync(lambda _: guest.orders)


@pytest.mark.parametrize(("load", "queries"), [(refresh, 2), (awaitable_attrs, 1), (run_sync, 1)])
async def test_loading_later_queries_for_each_object_and_takes_no_second_connection(
    engine: AsyncEngine, load: Callable[[AsyncSession, Guest], Awaitable[None]], queries: int
) -> None:
    sent: list[None] = []
    async with AsyncSession(engine) as session:
        guests = (await session.scalars(select(Guest))).all()
        event.listen(engine.sync_engine, "before_cursor_execute", lambda *_: sent.append(None))
        for guest in guests:
            await load(session, guest)
            assert checked_out(engine) == 1
        assert [len(guest.orders) for guest in guests] == [2, 2]
    assert len(sent) == queries * len(guests)


async def test_selectinload_takes_two_statements_for_any_number_of_objects(
    engine: AsyncEngine,
) -> None:
    sent: list[None] = []
    event.listen(engine.sync_engine, "before_cursor_execute", lambda *_: sent.append(None))
    async with AsyncSession(engine) as session:
        query = select(Guest).options(selectinload(Guest.orders))
        guests = (await session.scalars(query)).all()
    assert [len(guest.orders) for guest in guests] == [2, 2]
    assert len(sent) == 2
