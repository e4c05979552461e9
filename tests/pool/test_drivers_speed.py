"""What the page on drivers says of queries slow at first, or later: types, plans, inserts."""

import enum
import logging
from collections.abc import Callable
from contextlib import suppress
from typing import Any

import pytest
from sqlalchemy import Column, Enum, Integer, MetaData, Table, Text, insert, select, text
from sqlalchemy.dialects.postgresql import insert as upsert
from sqlalchemy.exc import ProgrammingError
from sqlalchemy.ext.asyncio import AsyncConnection, AsyncEngine, AsyncSession
from sqlalchemy.orm import DeclarativeBase, Mapped, mapped_column
from sqlalchemy.pool import NullPool

from tests.pools import MakeEngine, both_drivers, engine_for
from tools.postgres import Proxy


class Size(enum.Enum):
    CUP = "cup"
    POT = "pot"


ORDERS = Table(
    "orders",
    MetaData(),
    Column("id", Integer, primary_key=True),
    Column("drink", Text),
    Column("size", Enum(Size, name="size")),
    Column("sort", Enum(Size, native_enum=False)),
)
READS_A_TEXT = select(ORDERS.c.drink)
READS_AN_ENUM = select(ORDERS.c.size)
SENDS_AN_ENUM = select(ORDERS.c.id).where(ORDERS.c.size == Size.POT)
SENDS_A_TEXT_FOR_AN_ENUM = select(ORDERS.c.sort).where(ORDERS.c.sort == Size.POT)
BY_ID = text("SELECT drink FROM orders WHERE id = :id")


class Base(DeclarativeBase):
    pass


class Guest(Base):
    __tablename__ = "guests"
    id: Mapped[int] = mapped_column(primary_key=True)
    name: Mapped[str]
    seats: Mapped[int] = mapped_column(server_default="1")


async def create(engine: AsyncEngine) -> None:
    async with engine.begin() as connection:
        await connection.run_sync(ORDERS.create)
        await connection.run_sync(Base.metadata.create_all)


async def connected(make_engine: MakeEngine, url: Any, driver: str) -> AsyncEngine:
    """An engine with one idle connection, which has run no query of ours yet."""
    engine = engine_for(make_engine, url, driver)
    async with engine.connect() as connection:
        await connection.execute(text("SELECT 1"))
    return engine


# The first query on a connection


@pytest.mark.parametrize(
    ("driver", "query", "trips"),
    [
        ("asyncpg", READS_A_TEXT, [4, 3]),
        ("asyncpg", READS_AN_ENUM, [10, 3]),
        ("asyncpg", SENDS_AN_ENUM, [10, 3]),
        ("asyncpg", SENDS_A_TEXT_FOR_AN_ENUM, [4, 3]),
        ("psycopg", READS_AN_ENUM, [3, 3]),
        ("psycopg", SENDS_AN_ENUM, [3, 3]),
    ],
)
async def test_the_first_enum_on_a_connection_costs_asyncpg_six_round_trips(
    make_engine: MakeEngine, database_url: str, driver: str, query: Any, trips: list[int]
) -> None:
    await create(make_engine())
    async with Proxy(database_url) as proxy:
        engine = await connected(make_engine, proxy.url, driver)
        counted = []
        for _ in range(2):
            proxy.turns.clear()
            async with engine.connect() as connection:
                await connection.execute(query)
            counted.append(proxy.turns.count("client"))
        await engine.dispose()
    assert counted == trips


async def asked_for(connection: AsyncConnection, query: Any) -> list[str]:
    """What asyncpg asks by itself while this query runs."""
    asked: list[str] = []
    driver: Any = (await connection.get_raw_connection()).driver_connection
    with driver.query_logger(lambda record: asked.append(record.query)):
        await connection.execute(query)
    return [each for each in asked if "typeinfo" in each or "jit" in each]


@pytest.mark.parametrize(
    "type_", ["size", "size[]", "address", "cups", "tstzrange", "int[]", "uuid[]", "jsonb[]"]
)
async def test_asyncpg_asks_for_other_types_too_and_turns_jit_off_meanwhile(
    make_engine: MakeEngine, type_: str
) -> None:
    engine = make_engine()
    await create(engine)
    async with engine.begin() as connection:
        for statement in (
            "CREATE TYPE address AS (street text)",
            "CREATE TYPE cups AS RANGE (subtype = integer)",
        ):
            await connection.execute(text(statement))
    query = text(f"SELECT CAST(NULL AS {type_})")
    for expected in (3, 0):
        async with engine.connect() as connection:
            asked = await asked_for(connection, query)
        assert len(asked) == expected
        assert not asked or ("set_config('jit', 'off'" in asked[0] and "typeinfo" in asked[1])


@pytest.mark.parametrize(
    "type_", ["text", "numeric", "timestamptz", "timestamp", "uuid", "jsonb", "text[]"]
)
async def test_asyncpg_knows_the_common_types_without_asking(
    make_engine: MakeEngine, type_: str
) -> None:
    async with make_engine().connect() as connection:
        assert not await asked_for(connection, text(f"SELECT CAST(NULL AS {type_})"))


async def test_with_null_pool_each_transaction_asks_again(make_engine: MakeEngine) -> None:
    await create(make_engine())
    engine = make_engine(poolclass=NullPool)
    for _ in range(3):
        async with engine.connect() as connection:
            assert len(await asked_for(connection, READS_AN_ENUM)) == 3


# The generic plan


async def plans(connection: AsyncConnection) -> tuple[int, int]:
    """How often the prepared query was planned for its values, and how often not."""
    query = text(
        "SELECT custom_plans, generic_plans FROM pg_prepared_statements"
        " WHERE statement LIKE 'SELECT drink%'"
    )
    row = (await connection.execute(query)).one_or_none()
    return (row[0], row[1]) if row else (0, 0)


@pytest.mark.parametrize(("driver", "times"), [("asyncpg", 5), ("psycopg", 10)])
async def test_after_so_many_times_there_is_a_generic_plan(
    make_engine: MakeEngine, database_url: str, driver: str, times: int
) -> None:
    await create(make_engine())
    async with engine_for(make_engine, database_url, driver).connect() as connection:
        for number in range(times):
            await connection.execute(BY_ID, {"id": number})
        assert await plans(connection) == (5, 0)
        await connection.execute(BY_ID, {"id": 0})
        assert await plans(connection) == (5, 1)


async def upserts(engine: AsyncEngine, where: Any) -> int:
    """How many of twelve upserts with this condition of the index succeed, on one connection."""
    statement = upsert(ORDERS).values(drink="oolong")
    statement = statement.on_conflict_do_update(
        index_elements=["drink"], index_where=where, set_={"drink": "longjing"}
    )
    done = 0
    with suppress(ProgrammingError):
        async with engine.connect() as connection:
            for _ in range(12):
                await connection.execute(statement)
                await connection.commit()
                done += 1
    return done


@pytest.mark.parametrize(("driver", "times"), [("asyncpg", 5), ("psycopg", 10)])
async def test_a_generic_plan_does_not_find_the_partial_index_of_a_parameter(
    make_engine: MakeEngine, database_url: str, driver: str, times: int
) -> None:
    await create(make_engine())
    engine = engine_for(make_engine, database_url, driver)
    async with engine.begin() as connection:
        index = "CREATE UNIQUE INDEX ON orders (drink) WHERE sort = 'POT'"
        await connection.execute(text(index))
    assert await upserts(engine, ORDERS.c.sort == Size.POT) == times
    assert await upserts(engine, text("sort = 'POT'")) == 12


async def test_on_a_generic_plan_postgresql_says_there_is_no_such_constraint(
    make_engine: MakeEngine,
) -> None:
    engine = make_engine(
        connect_args={"server_settings": {"plan_cache_mode": "force_generic_plan"}}
    )
    await create(engine)
    said = "there is no unique or exclusion constraint matching the ON CONFLICT specification"
    async with engine.begin() as connection:
        index = "CREATE UNIQUE INDEX ON orders (drink) WHERE sort = 'POT'"
        await connection.execute(text(index))
        statement = (
            upsert(ORDERS)
            .values(drink="oolong")
            .on_conflict_do_nothing(index_elements=["drink"], index_where=ORDERS.c.sort == Size.POT)
        )
        with pytest.raises(ProgrammingError, match=said):
            await connection.execute(statement)


FORCED = {"server_settings": {"plan_cache_mode": "force_custom_plan"}}
UNCACHED = {"statement_cache_size": 0, "prepared_statement_cache_size": 0}


@pytest.mark.parametrize(
    ("connect_args", "expected"), [({}, (5, 3)), (FORCED, (8, 0)), (UNCACHED, (0, 0))]
)
async def test_a_setting_keeps_the_plans_for_the_values(
    make_engine: MakeEngine, connect_args: dict[str, Any], expected: tuple[int, int]
) -> None:
    await create(make_engine())
    async with make_engine(connect_args=connect_args).connect() as connection:
        for number in range(8):
            await connection.execute(BY_ID, {"id": number})
        assert await plans(connection) == expected


PSYCOPGS = {"options": "-c plan_cache_mode=force_custom_plan"}


@pytest.mark.parametrize(
    ("connect_args", "expected"),
    [({}, (5, 2)), (PSYCOPGS, (7, 0)), ({"prepare_threshold": None}, (0, 0))],
)
async def test_psycopg_keeps_the_plans_for_the_values_by_settings_of_its_own(
    make_engine: MakeEngine,
    database_url: str,
    connect_args: dict[str, Any],
    expected: tuple[int, int],
) -> None:
    await create(make_engine())
    engine = engine_for(make_engine, database_url, "psycopg", connect_args=connect_args)
    async with engine.connect() as connection:
        for number in range(12):
            await connection.execute(BY_ID, {"id": number})
        assert await plans(connection) == expected


async def test_the_setting_works_for_one_transaction_after_the_sixth_time_too(
    make_engine: MakeEngine,
) -> None:
    await create(make_engine())
    async with make_engine().connect() as connection:
        for number in range(6):
            await connection.execute(BY_ID, {"id": number})
        await connection.commit()
        await connection.execute(text("SET LOCAL plan_cache_mode = force_custom_plan"))
        await connection.execute(BY_ID, {"id": 1})
        assert await plans(connection) == (6, 1)
        await connection.commit()
        await connection.execute(BY_ID, {"id": 1})
        assert await plans(connection) == (6, 2)


async def test_explain_shows_the_generic_plan_by_its_parameter(make_engine: MakeEngine) -> None:
    await create(make_engine())
    async with make_engine().connect() as connection:
        driver: Any = (await connection.get_raw_connection()).driver_connection
        await driver.execute("PREPARE one (int) AS SELECT drink FROM orders WHERE id = $1")
        for mode, shown in (("force_generic_plan", "$1"), ("force_custom_plan", "7")):
            await driver.execute(f"SET plan_cache_mode = {mode}")
            lines = [row[0] for row in await driver.fetch("EXPLAIN EXECUTE one(7)")]
            assert any(line.strip() == f"Index Cond: (id = {shown})" for line in lines)


async def test_the_generic_plan_may_be_another_than_the_one_for_the_value(
    make_engine: MakeEngine,
) -> None:
    engine = make_engine()
    await create(engine)
    async with engine.connect() as connection:
        driver: Any = (await connection.get_raw_connection()).driver_connection
        await driver.execute(
            "INSERT INTO orders (drink) SELECT 'oolong' FROM generate_series(1, 20000);"
            "INSERT INTO orders (drink) SELECT 'rare ' || n FROM generate_series(1, 20000) AS n;"
            "CREATE INDEX ON orders (drink); ANALYZE orders;"
            "PREPARE one (text) AS SELECT count(size) FROM orders WHERE drink = $1"
        )
        shown = []
        for _ in range(6):
            shown.append(str(await driver.fetch("EXPLAIN EXECUTE one('oolong')")))
            await driver.execute("EXECUTE one('oolong')")
    assert ["Seq Scan" in plan for plan in shown[:2]] == [True, True]
    assert "$1" in shown[-1]
    assert "Seq Scan" not in shown[-1]


# Inserting many rows


async def one_by_one(session: AsyncSession) -> None:
    for _ in range(300):
        session.add(Guest(name="Lu Yu"))
        await session.flush()


async def each_executed(session: AsyncSession) -> None:
    for _ in range(300):
        await session.execute(insert(Guest).values(name="Lu Yu"))


async def all_at_once(session: AsyncSession) -> None:
    session.add_all(Guest(name="Lu Yu") for _ in range(300))
    await session.flush()


async def beside(session: AsyncSession) -> None:
    await session.execute(insert(Guest), [{"name": "Lu Yu"}] * 300)


IN_TURN: list[dict[str, Any]] = [{"name": "Lu Yu"}, {"name": "Lu Yu", "seats": 2}] * 150


async def all_in_turn(session: AsyncSession) -> None:
    session.add_all(Guest(**row) for row in IN_TURN)
    await session.flush()


async def beside_in_turn(session: AsyncSession) -> None:
    await session.execute(insert(Guest), IN_TURN)


@both_drivers
@pytest.mark.parametrize(
    ("how", "few"),
    [
        (one_by_one, False),
        (each_executed, False),
        (all_at_once, True),
        (beside, True),
        (all_in_turn, False),
        (beside_in_turn, False),
    ],
)
async def test_rows_given_together_take_few_round_trips(
    make_engine: MakeEngine, database_url: str, driver: str, how: Callable[..., Any], few: bool
) -> None:
    await create(make_engine())
    async with Proxy(database_url) as proxy:
        engine = await connected(make_engine, proxy.url, driver)
        async with AsyncSession(engine) as session:
            proxy.turns.clear()
            await how(session)
            trips = proxy.turns.count("client")
        await engine.dispose()
    assert trips < 10 if few else trips >= 300


async def test_values_with_a_list_is_compiled_anew_each_time(
    make_engine: MakeEngine, caplog: pytest.LogCaptureFixture
) -> None:
    engine = make_engine()
    await create(engine)
    rows = [{"drink": "oolong"}] * 3
    for statement, given, cached in (
        (insert(ORDERS).values(rows), None, False),
        (insert(ORDERS), rows, True),
    ):
        caplog.clear()
        with caplog.at_level(logging.INFO, "sqlalchemy.engine"):
            async with engine.begin() as connection:
                for _ in range(2):
                    await connection.execute(statement, given)
        assert ("no key" in caplog.text) is not cached
        assert ("cached since" in caplog.text) is cached
