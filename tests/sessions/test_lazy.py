"""What the page on lazy loading claims beyond the lines that its snippets print."""

import asyncio
import gc
import threading
import warnings
from collections.abc import Awaitable, Callable
from datetime import UTC, datetime
from typing import Any

import pytest
from sqlalchemy import (
    Computed,
    DateTime,
    FetchedValue,
    ForeignKey,
    event,
    func,
    select,
    text,
    update,
)
from sqlalchemy.exc import DBAPIError, InvalidRequestError, MissingGreenlet, StatementError
from sqlalchemy.ext.asyncio import AsyncAttrs, AsyncEngine, AsyncSession, create_async_engine
from sqlalchemy.orm import (
    DeclarativeBase,
    Mapped,
    Session,
    joinedload,
    mapped_column,
    raiseload,
    relationship,
    selectinload,
)

from tests.pools import MakeEngine, checked_out, with_psycopg
from tests.report import report
from tests.versions import IS_2_0
from tests.waiting import eventually
from tools.paths import DOCS, LANGUAGES

CALL = "await_only()" if IS_2_0 else "await_()"


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
async def engine(make_engine: MakeEngine) -> AsyncEngine:
    """An engine whose database has two guests with two orders each."""
    engine = make_engine()
    async with engine.begin() as connection:
        await connection.run_sync(Base.metadata.create_all)
    async with AsyncSession(engine) as session, session.begin():
        session.add_all(Guest(orders=[Order(), Order()]) for _ in range(2))
    return engine


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
    engine: AsyncEngine, make_engine: MakeEngine, cold: bool, pre_ping: bool
) -> None:
    tried = make_engine(engine.url, pool_pre_ping=pre_ping)
    async with AsyncSession(tried) as session:
        guest = await session.get_one(Guest, 1)
        await session.commit()
        if cold:
            await tried.dispose()
        with warnings.catch_warnings(record=True, action="always") as caught:
            with pytest.raises(MissingGreenlet):
                print(guest.orders)
            # Since Python 3.12 the coroutine is part of a cycle, and waits for a collection.
            gc.collect()
        never_awaited = ["coroutine 'connect' was never awaited" in str(w.message) for w in caught]
        assert any(never_awaited) == (cold and not IS_2_0)
        assert len((await session.scalars(select(Order))).all()) == 4
    assert checked_out(tried) == 0


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


@pytest.mark.parametrize(("cold", "pre_ping"), [(True, False), (False, True)])
async def test_psycopg_does_not_wrap_it_while_connecting_or_in_the_ping(
    engine: AsyncEngine, cold: bool, pre_ping: bool, caplog: pytest.LogCaptureFixture
) -> None:
    other = create_async_engine(with_psycopg(engine.url), pool_pre_ping=pre_ping)
    async with AsyncSession(other) as session:
        guest = await session.get_one(Guest, 1)
        await session.commit()
        if cold:
            await other.dispose()
        with warnings.catch_warnings(record=True, action="always") as caught:
            with pytest.raises(MissingGreenlet):
                print(guest.orders)
            gc.collect()
        said = [str(warning.message) for warning in caught]
        never_awaited = "coroutine 'AsyncConnection.connect' was never awaited"
        assert (never_awaited in said) == (cold and not IS_2_0)
        assert ("Exception terminating connection" in caplog.text) == pre_ping
    await other.dispose()


async def test_psycopg_on_2_1_wraps_the_error(engine: AsyncEngine, make_engine: MakeEngine) -> None:
    other = make_engine(with_psycopg(engine.url))
    async with AsyncSession(other) as session:
        guest = await session.get_one(Guest, 1)
        await session.commit()
        with pytest.raises((StatementError, MissingGreenlet)) as raised:
            print(guest.orders)
        wrapped = str(raised.value).startswith("(sqlalchemy.exc.MissingGreenlet) greenlet_spawn")
        assert wrapped is not IS_2_0
        assert checked_out(other) == 1
    assert checked_out(other) == 0


async def test_rollback_expires_columns_whatever_the_factory_says(engine: AsyncEngine) -> None:
    async with AsyncSession(engine, expire_on_commit=False) as session:
        guest = await session.get_one(Guest, 1)
        await session.commit()
        assert guest.id == 1
        await session.rollback()
        assert guest.id == 1  # no transaction was open, so nothing was expired
        await session.execute(select(1))
        await session.rollback()
        with pytest.raises(MissingGreenlet):
            print(guest.id)


# Columns that PostgreSQL computes


class Pots(DeclarativeBase):
    """Pots of tea, each kind with a column that somebody else than the program computes."""

    id: Mapped[int] = mapped_column(primary_key=True)
    drink: Mapped[str]


class Changed(Pots):
    __tablename__ = "changed"
    found: Mapped[datetime] = mapped_column(server_default=func.now(), onupdate=func.now())


class InPython(Pots):
    __tablename__ = "in_python"
    found: Mapped[datetime] = mapped_column(
        server_default=func.now(), onupdate=lambda: datetime.now(UTC).replace(tzinfo=None)
    )


class ComputedColumn(Pots):
    __tablename__ = "computed"
    found: Mapped[str] = mapped_column(Computed("upper(drink)"))


class Triggered(Pots):
    __tablename__ = "triggered"
    found: Mapped[int] = mapped_column(server_default="1", server_onupdate=FetchedValue())


class Unknown(Pots):
    __tablename__ = "unknown"
    found: Mapped[int] = mapped_column(server_default="1")


class Eager(Pots):
    __tablename__ = "eager"
    __mapper_args__ = {"eager_defaults": True}  # noqa: RUF012
    found: Mapped[datetime] = mapped_column(server_default=func.now(), onupdate=func.now())
    upper: Mapped[str] = mapped_column(Computed("upper(drink)"))


COUNT_CHANGES = """
    CREATE FUNCTION count_changes() RETURNS trigger LANGUAGE plpgsql
    AS $$ BEGIN NEW.found := NEW.found + 1; RETURN NEW; END $$
"""
COUNTED = "CREATE TRIGGER t BEFORE UPDATE ON {} FOR EACH ROW EXECUTE FUNCTION count_changes()"


@pytest.mark.parametrize(
    ("kind", "missing", "found"),
    [
        (Changed, True, None),
        (ComputedColumn, True, None),
        (Triggered, True, None),
        (InPython, False, None),
        (Eager, False, None),
        (Unknown, False, 1),
    ],
)
async def test_a_value_of_the_server_is_expired_by_an_update(
    engine: AsyncEngine, kind: Any, missing: bool, found: Any
) -> None:
    async with engine.begin() as connection:
        await connection.run_sync(Pots.metadata.create_all)
        await connection.execute(text(COUNT_CHANGES))
        for table in ("triggered", "unknown"):
            await connection.execute(text(COUNTED.format(table)))
    async with AsyncSession(engine, expire_on_commit=False) as session:
        session.add(pot := kind(drink="oolong"))
        await session.commit()
        assert pot.found
        pot.drink = "longjing"
        await session.commit()
        assert checked_out(engine) == 0
        if missing:
            with pytest.raises(MissingGreenlet):
                print(pot.found)
        else:
            assert pot.found
        assert found is None or pot.found == found, "the trigger's value, unasked for"
        assert checked_out(engine) == missing
        assert not isinstance(pot, Eager) or pot.upper == "LONGJING"


class Aware(Pots):
    __tablename__ = "aware"
    found: Mapped[datetime] = mapped_column(
        DateTime(timezone=True), server_default=func.now(), onupdate=lambda: datetime.now(UTC)
    )


class Unaware(Pots):
    __tablename__ = "unaware"
    found: Mapped[datetime] = mapped_column(
        server_default=func.now(), onupdate=lambda: datetime.now(UTC)
    )


async def test_an_aware_time_needs_a_column_with_a_time_zone(engine: AsyncEngine) -> None:
    async with engine.begin() as connection:
        await connection.run_sync(Pots.metadata.create_all)
    async with AsyncSession(engine, expire_on_commit=False) as session:
        session.add_all([aware := Aware(drink="oolong"), unaware := Unaware(drink="oolong")])
        await session.commit()
        aware.drink = "longjing"
        await session.commit()
        assert aware.found.tzinfo is UTC
        unaware.drink = "longjing"
        with pytest.raises(DBAPIError, match="offset-naive and offset-aware"):
            await session.commit()


@pytest.mark.parametrize("kind", [Changed, Eager])
@pytest.mark.parametrize("returning", [False, True])
async def test_an_update_that_you_write_expires_the_value_unless_it_returns_the_object(
    engine: AsyncEngine, kind: Any, returning: bool
) -> None:
    async with engine.begin() as connection:
        await connection.run_sync(Pots.metadata.create_all)
    async with AsyncSession(engine, expire_on_commit=False) as session:
        session.add(pot := kind(drink="oolong"))
        await session.commit()
        before = pot.found
        statement = update(kind).values(drink="longjing")
        if returning:
            await session.scalars(statement.returning(kind))
        else:
            await session.execute(statement)
        await session.commit()
        if returning:
            assert pot.found > before
        else:
            with pytest.raises(MissingGreenlet):
                print(pot.found)


# Loading


async def test_raiseload_in_a_query_fails_before_a_connection_is_taken(engine: AsyncEngine) -> None:
    async with AsyncSession(engine, expire_on_commit=False) as session:
        guest = (await session.scalars(select(Guest).options(raiseload("*")))).first()
        await session.execute(select(1))
        assert guest
        await session.commit()
        with pytest.raises(InvalidRequestError, match="not available due to lazy='raise'"):
            print(guest.orders)
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


async def test_run_sync_starts_no_thread_and_other_tasks_go_on_while_it_waits(
    engine: AsyncEngine,
) -> None:
    lock = text("SELECT pg_advisory_xact_lock(7)")
    waits = text("SELECT count(*) > 0 FROM pg_locks WHERE locktype = 'advisory' AND NOT granted")
    ran_in: list[threading.Thread] = []

    def work(session: Session) -> None:
        session.execute(lock)
        ran_in.append(threading.current_thread())

    async with engine.connect() as holder, AsyncSession(engine) as session:
        await holder.execute(lock)
        waiting = asyncio.create_task(session.run_sync(work))
        await eventually("the function waits for the lock", lambda: holder.scalar(waits))
        await holder.rollback()
        await waiting
    assert ran_in == [threading.current_thread()]


@pytest.mark.parametrize(("guests", "statements"), [(500, 2), (501, 3)])
async def test_selectinload_takes_one_more_statement_for_each_500_objects(
    engine: AsyncEngine, guests: int, statements: int
) -> None:
    async with AsyncSession(engine) as session, session.begin():
        session.add_all(Guest(orders=[Order()]) for _ in range(guests))
    sent: list[None] = []
    event.listen(engine.sync_engine, "before_cursor_execute", lambda *_: sent.append(None))
    async with AsyncSession(engine) as session:
        query = select(Guest).options(selectinload(Guest.orders)).limit(guests)
        loaded = (await session.scalars(query)).all()
    assert {len(guest.orders) for guest in loaded} <= {1, 2}
    assert len(sent) == statements


async def test_joinedload_of_a_collection_needs_unique(engine: AsyncEngine) -> None:
    query = select(Guest).options(joinedload(Guest.orders))
    async with AsyncSession(engine) as session:
        found = await session.scalars(query)
        with pytest.raises(InvalidRequestError, match=r"unique\(\)"):
            found.all()
        guests = (await session.scalars(query)).unique().all()
    assert [len(guest.orders) for guest in guests] == [2, 2]


class Menu(DeclarativeBase):
    """Drinks and what goes with them; the second class guards its attributes."""


class Drink(Menu):
    __tablename__ = "drinks"
    id: Mapped[int] = mapped_column(primary_key=True)


class Snack(Menu):
    __tablename__ = "snacks"
    id: Mapped[int] = mapped_column(primary_key=True)
    drink_id: Mapped[int] = mapped_column(ForeignKey(Drink.id))
    price: Mapped[int | None] = mapped_column(deferred=True, deferred_raiseload=True)
    drink: Mapped[Drink] = relationship()
    guarded: Mapped[Drink] = relationship(lazy="raise", viewonly=True)


async def test_raise_needs_no_luck_and_does_not_cover_expired_columns(engine: AsyncEngine) -> None:
    async with engine.begin() as connection:
        await connection.run_sync(Menu.metadata.create_all)
    async with AsyncSession(engine) as session, session.begin():
        session.add(Snack(id=1, drink=Drink(id=1)))
    async with AsyncSession(engine, expire_on_commit=False) as session:
        drink, snack = await session.get_one(Drink, 1), await session.get_one(Snack, 1)
        await session.commit()
        assert snack.drink is drink, "in the session already, so no query"
        for read in (lambda: snack.guarded, lambda: snack.price):
            with pytest.raises(InvalidRequestError, match="is not available due to"):
                read()
        assert checked_out(engine) == 0
        session.expire(snack)
        for read in (lambda: snack.guarded, lambda: snack.price):
            with pytest.raises(InvalidRequestError, match="is not available due to"):
                read()
        with pytest.raises(MissingGreenlet):
            print(snack.drink_id)


class Regular(Base):
    __tablename__ = "regulars"
    id: Mapped[int] = mapped_column(primary_key=True)
    visits: Mapped[list["Visit"]] = relationship(back_populates="regular", lazy="selectin")


class Visit(Base):
    __tablename__ = "visits"
    id: Mapped[int] = mapped_column(primary_key=True)
    regular_id: Mapped[int] = mapped_column(ForeignKey("regulars.id"))
    regular: Mapped[Regular] = relationship(back_populates="visits", lazy="selectin")


class Shelf(Base):
    __tablename__ = "shelves"
    id: Mapped[int] = mapped_column(primary_key=True)
    above: Mapped[int | None] = mapped_column(ForeignKey("shelves.id"))
    below: Mapped[list["Shelf"]] = relationship(lazy="selectin")


async def test_a_tree_is_not_loaded_ahead_unless_the_query_says_how_deep(
    engine: AsyncEngine,
) -> None:
    leaf = Shelf(id=4)
    async with AsyncSession(engine) as session, session.begin():
        session.add(Shelf(id=1, below=[Shelf(id=2, below=[Shelf(id=3, below=[leaf])])]))
    top = select(Shelf).where(Shelf.id == 1)
    async with AsyncSession(engine) as session:
        shelf = (await session.scalars(top)).one()
        with pytest.raises(MissingGreenlet):
            print(shelf.below)
    deep = top.options(selectinload(Shelf.below, recursion_depth=-1))
    async with AsyncSession(engine) as session:
        shelf = (await session.scalars(deep)).one()
        assert shelf.below[0].below[0].below[0].below == []


async def test_append_needs_the_list_and_the_other_side_does_not(engine: AsyncEngine) -> None:
    async with AsyncSession(engine) as session, session.begin():
        session.add(Regular(id=1, visits=[Visit()]))
    async with AsyncSession(engine) as session:
        visit = (await session.scalars(select(Visit))).one()
        with pytest.raises(MissingGreenlet):
            visit.regular.visits.append(Visit())
    async with AsyncSession(engine, expire_on_commit=False) as session:
        visit = (await session.scalars(select(Visit))).one()
        session.add(Visit(regular=visit.regular))
        await session.commit()
        assert len((await session.scalars(select(Visit))).all()) == 2


async def test_refresh_reads_the_list_of_an_object_just_added(engine: AsyncEngine) -> None:
    async with AsyncSession(engine, expire_on_commit=False) as session:
        session.add_all([regular := Regular(), given := Regular(visits=[])])
        await session.commit()
        assert given.visits == []
        with pytest.raises(MissingGreenlet):
            print(regular.visits)
        await session.refresh(regular, attribute_names=["visits"])
        assert regular.visits == []


async def test_get_ignores_options_for_what_the_session_has(engine: AsyncEngine) -> None:
    ahead = selectinload(Guest.orders)
    async with AsyncSession(engine) as session:
        held = await session.get_one(Guest, 1)
        guest = await session.get_one(Guest, 1, options=[ahead])
        assert guest is held
        with pytest.raises(MissingGreenlet):
            print(guest.orders)
        assert await session.scalar(select(Guest).where(Guest.id == 1).options(ahead)) is guest
        assert len(guest.orders) == 2


@pytest.mark.parametrize("how", ["scalar", "scalars", "execute"])
async def test_scalar_loads_ahead_as_execute_does(engine: AsyncEngine, how: str) -> None:
    query = select(Guest).where(Guest.id == 1).options(selectinload(Guest.orders))
    async with AsyncSession(engine) as session:
        found: Any = await getattr(session, how)(query)
        guest = {"scalar": lambda: found, "scalars": lambda: found.one()}.get(
            how, lambda: found.scalar_one()
        )()
        assert len(guest.orders) == 2


class Nested(DeclarativeBase):
    pass


class Shop(Nested):
    __tablename__ = "shops"
    id: Mapped[int] = mapped_column(primary_key=True)
    racks: Mapped[list["Rack"]] = relationship()


class Rack(Nested):
    __tablename__ = "racks"
    id: Mapped[int] = mapped_column(primary_key=True)
    shop_id: Mapped[int] = mapped_column(ForeignKey("shops.id"))
    tins: Mapped[list["Tin"]] = relationship()


class Tin(Nested):
    __tablename__ = "tins"
    id: Mapped[int] = mapped_column(primary_key=True)
    rack_id: Mapped[int] = mapped_column(ForeignKey("racks.id"))


@pytest.mark.parametrize("both", [False, True])
async def test_the_next_level_has_to_be_named(engine: AsyncEngine, both: bool) -> None:
    async with engine.begin() as connection:
        await connection.run_sync(Nested.metadata.create_all)
    async with AsyncSession(engine) as session:
        session.add(Shop(racks=[Rack(tins=[Tin()])]))
        await session.commit()
    option = selectinload(Shop.racks)
    async with AsyncSession(engine) as session:
        query = select(Shop).options(option.selectinload(Rack.tins) if both else option)
        shop = (await session.scalars(query)).one()
        if both:
            assert len(shop.racks[0].tins) == 1
        else:
            with pytest.raises(MissingGreenlet):
                print(shop.racks[0].tins)
