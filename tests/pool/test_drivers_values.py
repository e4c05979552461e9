"""What the page on drivers says of values: the types that comparisons and groups are sent with."""

from contextlib import nullcontext
from datetime import UTC, datetime
from typing import Any
from uuid import UUID
from zoneinfo import ZoneInfo

import pytest
from sqlalchemy import (
    Column,
    DateTime,
    Integer,
    MetaData,
    String,
    Table,
    Text,
    Uuid,
    cast,
    column,
    extract,
    func,
    insert,
    make_url,
    select,
    text,
)
from sqlalchemy.exc import DBAPIError, InvalidRequestError, ProgrammingError
from sqlalchemy.ext.asyncio import AsyncSession, create_async_engine
from sqlalchemy.orm import DeclarativeBase, Mapped, mapped_column

from tests.pools import MakeEngine, both_drivers, engine_for, engine_with_rows

ORDERS = Table(
    "orders",
    MetaData(),
    Column("id", Integer, primary_key=True),
    Column("drink", Text),
    Column("code", Uuid),
)


class Base(DeclarativeBase):
    pass


class Tin(Base):
    __tablename__ = "tins"
    id: Mapped[Any] = mapped_column(Uuid, primary_key=True)
    full: Mapped[bool] = mapped_column(server_default="true")


CODE = UUID(int=7)
SEVEN = {"id": 7, "drink": "7", "code": CODE}


@both_drivers
@pytest.mark.parametrize(
    ("condition", "words"),
    [
        (ORDERS.c.id == "7", "integer = character varying"),
        (ORDERS.c.id.in_(["7"]), "integer = character varying"),
        (ORDERS.c.drink == 7, "text = integer"),
        (column("code", String) == str(CODE), "uuid = character varying"),
    ],
)
async def test_a_value_of_another_type_finds_no_operator(
    make_engine: MakeEngine, database_url: str, driver: str, condition: Any, words: str
) -> None:
    engine = await engine_with_rows(make_engine, database_url, driver, ORDERS, SEVEN)
    async with engine.connect() as connection:
        with pytest.raises(ProgrammingError, match=f"operator does not exist: {words}"):
            await connection.execute(select(ORDERS.c.id).where(condition))


@both_drivers
@pytest.mark.parametrize(
    "condition",
    [
        ORDERS.c.id == int("7"),
        ORDERS.c.drink == str(7),
        ORDERS.c.code == CODE,
    ],
)
async def test_the_converted_value_is_found(
    make_engine: MakeEngine, database_url: str, driver: str, condition: Any
) -> None:
    engine = await engine_with_rows(make_engine, database_url, driver, ORDERS, SEVEN)
    async with engine.connect() as connection:
        assert await connection.scalar(select(ORDERS.c.id).where(condition)) == 7


@both_drivers
@pytest.mark.parametrize(
    "query",
    [
        text("SELECT id FROM orders WHERE id = :id"),
        select(ORDERS.c.id).where(ORDERS.c.id == cast("7", Integer)),
    ],
    ids=["text", "cast"],
)
async def test_a_cast_and_text_leave_the_value_to_the_driver(
    make_engine: MakeEngine, database_url: str, driver: str, query: Any
) -> None:
    engine = await engine_with_rows(make_engine, database_url, driver, ORDERS, SEVEN)
    refused = pytest.raises(DBAPIError, match="invalid input for query argument")
    async with engine.connect() as connection:
        with refused if driver == "asyncpg" else nullcontext():
            assert await connection.scalar(query, {"id": "7"}) == 7


async def test_sqlite_converts_and_psycopg2_sends_no_type() -> None:
    condition = ORDERS.c.id == "7"
    dialect = make_url("postgresql+psycopg2://").get_dialect()()
    assert str(condition.compile(dialect=dialect)) == "orders.id = %(id_1)s"
    engine = create_async_engine("sqlite+aiosqlite://")
    try:
        async with engine.begin() as connection:
            await connection.run_sync(ORDERS.create)
            await connection.execute(insert(ORDERS), [{"id": 7}])
            assert await connection.scalar(select(ORDERS.c.id).where(condition)) == 7
    finally:
        await engine.dispose()


def or_none() -> Any:
    return func.coalesce(ORDERS.c.drink, "none")


@both_drivers
@pytest.mark.parametrize("written", ["once", "twice"])
async def test_an_expression_that_is_written_twice_is_not_grouped_by(
    make_engine: MakeEngine, database_url: str, driver: str, written: str
) -> None:
    engine = await engine_with_rows(make_engine, database_url, driver, ORDERS, SEVEN)
    drink = or_none()
    query = select(drink).group_by(drink if written == "once" else or_none())
    words = (
        'column "orders.drink" must appear in the GROUP BY clause '
        "or be used in an aggregate function"
    )
    refused = pytest.raises(ProgrammingError, match=words)
    async with engine.connect() as connection:
        with refused if written == "twice" else nullcontext():
            assert await connection.scalar(query) == "7"


@pytest.mark.parametrize(
    ("driver", "read"),
    [("asyncpg", "2026-05-04 12:00:00+00:00"), ("psycopg", "2026-05-04 20:00:00+08:00")],
)
async def test_asyncpg_reads_in_utc_whatever_the_time_zone_of_the_session(
    make_engine: MakeEngine, database_url: str, driver: str, read: str
) -> None:
    teas = Table("teas", MetaData(), Column("brewed", DateTime(timezone=True)))
    noon = {"brewed": datetime(2026, 5, 4, 12, tzinfo=UTC)}
    engine = await engine_with_rows(make_engine, database_url, driver, teas, noon)
    async with engine.connect() as connection:
        await connection.execute(text("SET LOCAL TIME ZONE 'Asia/Shanghai'"))
        value: Any = await connection.scalar(select(teas.c.brewed))
        assert str(value) == read
        assert str(value.astimezone(ZoneInfo("Asia/Shanghai"))) == "2026-05-04 20:00:00+08:00"
        as_text = await connection.scalar(select(cast(teas.c.brewed, String)))
        assert as_text == "2026-05-04 20:00:00+08"
        assert await connection.scalar(select(extract("hour", teas.c.brewed))) == 20
        midnight: Any = await connection.scalar(select(func.date_trunc("day", teas.c.brewed)))
        assert midnight == datetime(2026, 5, 3, 16, tzinfo=UTC)


@both_drivers
async def test_a_text_for_a_uuid_key_is_missed_among_the_rows_that_come_back(
    make_engine: MakeEngine, database_url: str, driver: str
) -> None:
    engine = engine_for(make_engine, database_url, driver)
    async with engine.begin() as connection:
        await connection.run_sync(Base.metadata.create_all)
    said = "Can't match sentinel values in result set to parameter sets"
    keys = [UUID(int=number) for number in range(3)]
    async with AsyncSession(engine) as session:
        session.add(Tin(id=str(keys[0])))
        await session.commit()
        session.add_all([Tin(id=str(key)) for key in keys[1:]])
        with pytest.raises(InvalidRequestError, match=said):
            await session.commit()
        await session.rollback()
        session.add_all([Tin(id=key) for key in keys[1:]])
        await session.commit()
