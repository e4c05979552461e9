"""What the page on transactions says of a key that a table has already."""

import asyncio
from contextlib import nullcontext
from typing import Any

import pytest
from asyncpg import NotNullViolationError  # type: ignore[import-untyped]
from sqlalchemy import Column, Identity, Integer, MetaData, Table, Text, insert, select, text
from sqlalchemy.dialects import postgresql
from sqlalchemy.exc import IntegrityError
from sqlalchemy.ext.asyncio import AsyncEngine

from tests.pools import MakeEngine, both_drivers, engine_with_rows

ORDERS = Table("orders", MetaData(), Column("id", Integer, primary_key=True), Column("drink", Text))
SEVEN = {"id": 7, "drink": "longjing"}


async def select_then_insert(engine: AsyncEngine, meet: asyncio.Barrier, statement: Any) -> None:
    async with engine.begin() as connection:
        found = await connection.scalar(select(ORDERS.c.id).where(ORDERS.c.id == 8))
        await meet.wait()
        if found is None:
            await connection.execute(statement, {"id": 8})


@both_drivers
@pytest.mark.parametrize("cured", [False, True])
async def test_two_tasks_select_and_both_insert(
    make_engine: MakeEngine, database_url: str, driver: str, cured: bool
) -> None:
    engine = await engine_with_rows(make_engine, database_url, driver, ORDERS, SEVEN)
    statement = postgresql.insert(ORDERS)
    if cured:
        statement = statement.on_conflict_do_nothing()
    meet = asyncio.Barrier(2)
    both = (select_then_insert(engine, meet, statement) for _ in range(2))
    outcomes = await asyncio.gather(*both, return_exceptions=True)
    refused = [one for one in outcomes if one is not None]
    assert len(refused) == (0 if cured else 1)
    words = 'duplicate key value violates unique constraint "orders_pkey"'
    assert all(isinstance(one, IntegrityError) and words in str(one) for one in refused)
    async with engine.connect() as connection:
        ids = await connection.scalars(select(ORDERS.c.id).order_by(ORDERS.c.id))
        assert ids.all() == [7, 8]


async def test_rows_are_copied_and_those_that_are_there_left_out(
    make_engine: MakeEngine, database_url: str
) -> None:
    engine = await engine_with_rows(make_engine, database_url, "asyncpg", ORDERS, SEVEN)
    async with engine.begin() as connection:
        await connection.execute(text("CREATE TEMPORARY TABLE fresh (LIKE orders) ON COMMIT DROP"))
        driver: Any = (await connection.get_raw_connection()).driver_connection
        rows = [(7, "oolong"), (8, "pu-erh"), (8, "pu-erh")]
        await driver.copy_records_to_table("fresh", records=rows)
        await connection.execute(
            text("INSERT INTO orders SELECT * FROM fresh ON CONFLICT DO NOTHING")
        )
    async with engine.connect() as connection:
        found = await connection.execute(select(ORDERS).order_by(ORDERS.c.id))
        assert found.all() == [(7, "longjing"), (8, "pu-erh")]
        assert await connection.scalar(text("SELECT to_regclass('fresh')")) is None


@pytest.mark.parametrize("defaults", ["", " INCLUDING DEFAULTS"])
async def test_rows_without_ids_are_copied_if_the_defaults_are_included(
    make_engine: MakeEngine, database_url: str, defaults: str
) -> None:
    engine = await engine_with_rows(make_engine, database_url, "asyncpg", ORDERS, SEVEN)
    refused = pytest.raises(NotNullViolationError, match='null value in column "id"')
    async with engine.connect() as connection:
        await connection.execute(text(f"CREATE TEMPORARY TABLE fresh (LIKE orders{defaults})"))
        driver: Any = (await connection.get_raw_connection()).driver_connection
        with nullcontext() if defaults else refused:
            await driver.copy_records_to_table("fresh", records=[("pu-erh",)], columns=["drink"])
            assert await connection.scalar(text("SELECT id FROM fresh")) == 1
        await connection.rollback()


@pytest.mark.parametrize("always", [True, False])
async def test_an_identity_is_no_default_and_is_left_out(
    make_engine: MakeEngine, database_url: str, always: bool
) -> None:
    identity = Column("id", Integer, Identity(always), primary_key=True)
    orders = Table("orders", MetaData(), identity, Column("drink", Text, unique=True))
    engine = await engine_with_rows(make_engine, database_url, "asyncpg", orders, {"drink": "a"})
    rows, columns = [("a",), ("b",), ("b",)], ["drink"]
    async with engine.begin() as connection:
        driver: Any = (await connection.get_raw_connection()).driver_connection
        like = "CREATE TEMPORARY TABLE alike (LIKE orders INCLUDING DEFAULTS)"
        step = await connection.begin_nested()
        await connection.execute(text(like))
        with pytest.raises(NotNullViolationError):
            await driver.copy_records_to_table("alike", records=rows, columns=columns)
        await step.rollback()
        fresh = (
            "CREATE TEMPORARY TABLE fresh ON COMMIT DROP AS SELECT drink FROM orders WITH NO DATA"
        )
        await connection.execute(text(fresh))
        await driver.copy_records_to_table("fresh", records=rows, columns=columns)
        copy = "INSERT INTO orders (drink) SELECT drink FROM fresh ON CONFLICT DO NOTHING"
        await connection.execute(text(copy))
    async with engine.connect() as connection:
        drinks = await connection.scalars(select(orders.c.drink).order_by(orders.c.id))
        assert drinks.all() == ["a", "b"]


async def test_on_conflict_returns_no_row(make_engine: MakeEngine, database_url: str) -> None:
    engine = await engine_with_rows(make_engine, database_url, "asyncpg", ORDERS, SEVEN)
    statement = postgresql.insert(ORDERS).values(id=7).on_conflict_do_nothing()
    async with engine.begin() as connection:
        assert await connection.scalar(statement.returning(ORDERS.c.id)) is None


async def test_a_sequence_does_not_follow_ids_that_were_given(
    make_engine: MakeEngine, database_url: str
) -> None:
    rows = ({"id": number} for number in range(1, 4))
    engine = await engine_with_rows(make_engine, database_url, "asyncpg", ORDERS, *rows)
    with pytest.raises(IntegrityError, match='unique constraint "orders_pkey"'):
        async with engine.begin() as connection:
            await connection.execute(insert(ORDERS), {"drink": "oolong"})
    async with engine.begin() as connection:
        await connection.execute(
            text("SELECT setval(pg_get_serial_sequence('orders', 'id'), max(id)) FROM orders")
        )
        await connection.execute(insert(ORDERS), {"drink": "oolong"})
        query = select(ORDERS.c.id).where(ORDERS.c.drink == "oolong")
        assert await connection.scalar(query) == 4
