"""What the page on prepared statements and parameters says beyond what its snippets print."""

import asyncio
import time
from contextlib import nullcontext, suppress
from datetime import UTC, datetime
from secrets import token_hex
from typing import Any

import pytest
from alembic.operations import Operations
from alembic.runtime.migration import MigrationContext
from sqlalchemy import (
    Column,
    Connection,
    DateTime,
    Enum,
    Integer,
    MetaData,
    Table,
    bindparam,
    event,
    insert,
    literal,
    select,
    text,
)
from sqlalchemy.exc import (
    DBAPIError,
    InterfaceError,
    OperationalError,
    PendingRollbackError,
    ProgrammingError,
)
from sqlalchemy.ext.asyncio import AsyncEngine, AsyncSession
from sqlalchemy.orm import DeclarativeBase, Mapped, mapped_column
from sqlalchemy.pool import NullPool
from sqlalchemy.types import UserDefinedType

from tests.pools import MakeEngine, both_drivers, engine_for, run_sql
from tools.paths import DOCS, LANGUAGES

OOLONG = text("SELECT 'oolong'")
NOON = datetime(2026, 5, 4, 12, tzinfo=UTC)


@pytest.mark.parametrize("dropping", ["DISCARD ALL", "DEALLOCATE ALL"])
async def test_dropped_statements_fail_until_the_connection_is_renewed(
    make_engine: MakeEngine, dropping: str
) -> None:
    engine = make_engine(pool_pre_ping=True)
    async with engine.connect() as connection:
        await connection.execute(OOLONG)
        raw = await connection.get_raw_connection()
        assert raw.driver_connection
        await connection.rollback()
        await raw.driver_connection.execute(dropping)
    for _ in range(2):
        async with engine.connect() as connection:
            with pytest.raises(DBAPIError, match=r'"__asyncpg_stmt_\w+" does not exist') as caught:
                await connection.execute(OOLONG)
            assert "pgbouncer" in str(getattr(caught.value.orig, "__cause__", None))
    await engine.dispose()
    async with engine.connect() as connection:
        assert await connection.scalar(OOLONG) == "oolong"


async def test_psycopg_notices_discard_all(make_engine: MakeEngine, database_url: str) -> None:
    engine = engine_for(make_engine, database_url, "psycopg")
    async with engine.connect() as connection:
        await connection.execution_options(isolation_level="AUTOCOMMIT")
        for _ in range(6):
            await connection.execute(OOLONG)
        prepared = text("SELECT count(*) FROM pg_prepared_statements")
        assert await connection.scalar(prepared)
        await connection.execute(text("DISCARD ALL"))
        for _ in range(6):
            assert await connection.scalar(OOLONG) == "oolong"


CHANGES = {
    "new column": ("SELECT * FROM menu", "ALTER TABLE menu ADD COLUMN price int", True),
    "new column, names": ("SELECT drink FROM menu", "ALTER TABLE menu ADD COLUMN price int", False),
    "new type": ("SELECT tins FROM menu", "ALTER TABLE menu ALTER tins TYPE bigint", True),
}
KEPT = {"asyncpg": {}, "psycopg": {"prepare_threshold": 0}}
NOT_KEPT = {
    "asyncpg": {"prepared_statement_cache_size": 0},
    "psycopg": {"prepare_threshold": None},
}


@both_drivers
@pytest.mark.parametrize("change", CHANGES)
@pytest.mark.parametrize("prepared", [True, False])
async def test_a_plan_is_invalid_when_the_result_changes_and_the_statement_was_kept(
    make_engine: MakeEngine, database_url: str, driver: str, change: str, prepared: bool
) -> None:
    options = (KEPT if prepared else NOT_KEPT)[driver]
    engine = engine_for(make_engine, database_url, driver, connect_args=options)
    migrating = make_engine()
    await run_sql(migrating, "CREATE TABLE menu AS SELECT 'oolong' AS drink, 5 AS tins")
    query, migration, changes = CHANGES[change]
    for _ in range(2):
        await run_sql(engine, query)
    await run_sql(migrating, migration)
    if changes and prepared:
        text_of_driver = {"asyncpg": "cached statement plan is invalid", "psycopg": "cached plan"}
        with pytest.raises(DBAPIError, match=text_of_driver[driver]):
            await run_sql(engine, query)
    await run_sql(engine, query)


async def count_failures(engine: AsyncEngine, query: str, times: int) -> int:
    """How often the query fails, each time in a transaction of its own."""
    failed = 0
    for _ in range(times):
        try:
            await run_sql(engine, query)
        except DBAPIError:
            failed += 1
    return failed


@both_drivers
async def test_asyncpg_fails_once_and_psycopg_once_for_each_connection(
    make_engine: MakeEngine, database_url: str, driver: str
) -> None:
    engine = engine_for(make_engine, database_url, driver, connect_args=KEPT[driver])
    migrating = make_engine()
    query = "SELECT * FROM menu"
    await run_sql(migrating, "CREATE TABLE menu AS SELECT 'oolong' AS drink")
    async with engine.connect(), engine.connect(), engine.connect():
        pass
    for _ in range(6):  # each of the three twice
        await run_sql(engine, query)
    await run_sql(migrating, "ALTER TABLE menu ADD COLUMN price int")
    assert await count_failures(engine, query, 6) == {"asyncpg": 1, "psycopg": 3}[driver]


@both_drivers
async def test_in_autocommit_psycopg_fails_each_time_after_a_migration(
    make_engine: MakeEngine, database_url: str, driver: str
) -> None:
    options: dict[str, Any] = {"isolation_level": "AUTOCOMMIT", "connect_args": KEPT[driver]}
    engine = engine_for(make_engine, database_url, driver, pool_size=1, **options)
    query = "SELECT * FROM menu"
    await run_sql(engine, "CREATE TABLE menu (tea text)")
    for _ in range(2):
        await run_sql(engine, query)
    await run_sql(make_engine(), "ALTER TABLE menu ADD COLUMN price integer")
    assert await count_failures(engine, query, 4) == {"asyncpg": 1, "psycopg": 4}[driver]
    await engine.dispose()
    await run_sql(engine, query)


SIZE = Enum("cup", "pot", name="size")


@both_drivers
async def test_a_parameter_of_an_enum_made_anew_fails_as_often_in_other_words(
    make_engine: MakeEngine, database_url: str, driver: str
) -> None:
    engine = engine_for(make_engine, database_url, driver, connect_args=KEPT[driver])
    table = Table("menu", MetaData(), Column("size", SIZE))
    query = select(table).where(table.c.size == "cup")
    async with engine.begin() as connection:
        await connection.run_sync(table.metadata.create_all)

    async def ask() -> None:
        async with engine.begin() as connection:
            await connection.execute(query)

    async with engine.connect(), engine.connect():
        pass
    for _ in range(4):  # each of the two twice
        await ask()
    migration = "DROP TABLE menu", "DROP TYPE size", "CREATE TYPE size AS ENUM ('cup', 'pot')"
    await run_sql(make_engine(), *migration, "CREATE TABLE menu (size size)")
    said = [str(*await asyncio.gather(ask(), return_exceptions=True)) for _ in range(4)]
    failed = ["cache lookup failed for type" in words for words in said if words != "None"]
    assert failed == [True] * {"asyncpg": 1, "psycopg": 2}[driver]


async def test_the_cache_size_does_not_let_two_statements_pass(make_engine: MakeEngine) -> None:
    sizes = {"statement_cache_size": 0, "prepared_statement_cache_size": 0}
    engine = make_engine(connect_args=sizes)
    with pytest.raises(ProgrammingError, match="cannot insert multiple commands"):
        await run_sql(engine, "SELECT 1; SELECT 2")


@pytest.mark.parametrize(
    ("threshold", "query", "passes"),
    [
        (5, "SELECT 1; SELECT 2", True),
        (0, "SELECT 1; SELECT 2", False),
        (5, "SELECT :n; SELECT 2", False),
    ],
)
async def test_psycopg_takes_several_without_parameters_unless_it_prepares_at_once(
    make_engine: MakeEngine, database_url: str, threshold: int, query: str, passes: bool
) -> None:
    options = {"prepare_threshold": threshold}
    engine = engine_for(make_engine, database_url, "psycopg", connect_args=options)
    async with engine.connect() as connection:
        for _ in range(7 if passes else 1):
            running = connection.execute(text(query), {"n": 1} if ":n" in query else {})
            if passes:
                await running
            else:
                with pytest.raises(DBAPIError, match="cannot insert multiple commands"):
                    await running
            await connection.commit() if passes else await connection.rollback()


async def test_a_script_by_the_driver_is_part_of_a_transaction_that_has_begun(
    make_engine: MakeEngine,
) -> None:
    engine = make_engine()
    async with engine.connect() as connection:
        await connection.execute(OOLONG)
        raw = await connection.get_raw_connection()
        assert raw.driver_connection
        await raw.driver_connection.execute("CREATE TABLE menu (); CREATE TABLE tables ()")
        await connection.rollback()
        assert await connection.scalar(text("SELECT to_regclass('menu')")) is None


@pytest.mark.parametrize("begun", [True, False])
@pytest.mark.parametrize("fails", [False, True])
async def test_in_a_revision_of_alembic_a_script_is_in_the_transaction_that_has_begun(
    make_engine: MakeEngine, fails: bool, begun: bool
) -> None:
    script = "CREATE TABLE menu (); COMMENT ON TABLE menu IS 'teas'"

    def upgrade(connection: Connection) -> None:
        with Operations.context(MigrationContext.configure(connection)) as op:
            if begun:
                op.execute("SELECT 1")
            op.get_bind().connection.run_async(lambda driver: driver.execute(script))
            if fails:
                op.execute(script)

    engine = make_engine()
    several = pytest.raises(ProgrammingError, match="cannot insert multiple commands")
    async with engine.connect() as connection:
        with several if fails else nullcontext():
            async with connection.begin():
                await connection.run_sync(upgrade)
        there = await connection.scalar(text("SELECT to_regclass('menu') IS NOT NULL"))
        assert there is not (fails and begun)


class Vector(UserDefinedType[list[float]]):
    """A type that makes text of a list, as pgvector's does; the codec below wants the list."""

    cache_ok = True

    def bind_processor(self, _: object) -> Any:
        return str


@pytest.mark.parametrize(
    ("typed", "codec", "refused"),
    [
        (True, False, None),
        (False, True, None),
        (True, True, "could not convert string to float"),
        (False, False, "expected str, got list"),
    ],
)
async def test_a_value_is_converted_by_its_type_or_by_the_codec_of_the_connection(
    make_engine: MakeEngine, typed: bool, codec: bool, refused: str | None
) -> None:
    engine = make_engine()

    def register(connection: Any, _: object) -> None:
        wants_a_list = {"encoder": lambda each: " ".join(str(float(one)) for one in each)}
        connection.run_async(
            lambda driver: driver.set_type_codec(
                "tsvector", schema="pg_catalog", decoder=str, **wants_a_list
            )
        )

    if codec:
        event.listen(engine.sync_engine, "connect", register)
    query = text("SELECT CAST(:lines AS tsvector)")
    if typed:
        query = query.bindparams(bindparam("lines", type_=Vector()))
    async with engine.connect() as connection:
        with pytest.raises(DBAPIError, match=refused) if refused else nullcontext():
            await connection.execute(query, {"lines": [1.0, 2.0]})


async def test_an_extension_belongs_to_a_database(make_engine: MakeEngine) -> None:
    engine = make_engine()
    async with engine.connect() as connection:
        with pytest.raises(ProgrammingError, match='type "vector" does not exist'):
            await connection.execute(text("SELECT CAST('[1]' AS vector)"))
    async with engine.connect() as connection:
        with pytest.raises(DBAPIError, match='extension "no_such" is not available'):
            await connection.execute(text("CREATE EXTENSION no_such"))


MANY = 40_000
COUNT = text("SELECT count(*) FROM shelf")


async def filled(engine: AsyncEngine) -> Table:
    """A table of numbers, with one row."""
    table = Table("shelf", MetaData(), Column("id", Integer, primary_key=True))
    async with engine.begin() as connection:
        await connection.run_sync(table.create)
        await connection.execute(insert(table), [{"id": 0}])
    return table


@pytest.mark.parametrize("options", [{}, {"insertmanyvalues_page_size": 100}])
async def test_rows_beside_the_statement_are_divided_and_those_in_values_are_not(
    make_engine: MakeEngine, options: dict[str, int]
) -> None:
    engine = make_engine(**options)
    table = await filled(engine)
    rows = [{"id": number} for number in range(1, MANY)]
    too_many = pytest.raises(InterfaceError, match="arguments cannot exceed 32767")
    async with engine.connect() as connection:
        with too_many:
            await connection.execute(insert(table).values(rows))
    async with engine.connect() as connection:
        ids = await connection.execute(insert(table).returning(table.c.id), rows)
        assert len(ids.all()) == len(rows)


async def test_any_takes_a_list_that_is_too_long_for_in(make_engine: MakeEngine) -> None:
    engine = make_engine()
    table = await filled(engine)
    ids = list(range(MANY))
    async with engine.connect() as connection:
        with pytest.raises(InterfaceError, match="arguments cannot exceed 32767"):
            await connection.execute(select(table).where(table.c.id.in_(ids)))
        query = text("SELECT count(*) FROM shelf WHERE id = ANY(:ids)")
        assert await connection.scalar(query, {"ids": ids}) == 1


async def test_psycopg_has_twice_the_limit_and_says_it_in_other_words(
    make_engine: MakeEngine, database_url: str
) -> None:
    engine = engine_for(make_engine, database_url, "psycopg")
    table = await filled(engine)
    rows = [{"id": number} for number in range(1, 2 * MANY)]
    async with engine.connect() as connection:
        await connection.execute(insert(table).values(rows[:MANY]))
        await connection.rollback()
        with pytest.raises(
            OperationalError, match="number of parameters must be between 0 and 65535"
        ):
            await connection.execute(insert(table).values(rows))


async def copy(driver: Any) -> None:
    """Copy one row to the shelf, by either driver."""
    if hasattr(driver, "copy_records_to_table"):
        await driver.copy_records_to_table("shelf", records=[(1,)], columns=["id"])
        return
    async with driver.cursor() as cursor, cursor.copy("COPY shelf FROM STDIN") as rows:
        await rows.write_row((1,))


@both_drivers
@pytest.mark.parametrize("before", [True, False])
async def test_a_copy_before_any_sql_is_not_undone_with_asyncpg(
    make_engine: MakeEngine, database_url: str, driver: str, before: bool
) -> None:
    engine = engine_for(make_engine, database_url, driver)
    await filled(engine)
    with suppress(ZeroDivisionError):
        async with AsyncSession(engine) as session, session.begin():
            connection = await session.connection()
            if before:
                await session.execute(OOLONG)
            await copy((await connection.get_raw_connection()).driver_connection)
            raise ZeroDivisionError
    async with engine.connect() as connection:
        stays = driver == "asyncpg" and not before
        assert await connection.scalar(COUNT) == 1 + stays


@pytest.mark.parametrize(
    "settings",
    [{"poolclass": NullPool}, {"connect_args": {"prepared_statement_cache_size": 0}}],
    ids=["NullPool", "prepared_statement_cache_size"],
)
async def test_half_a_cure_leaves_taken_names(
    make_engine: MakeEngine, settings: dict[str, object]
) -> None:
    engine = make_engine(**settings)
    async with engine.connect() as connection:
        raw = await connection.get_raw_connection()
        assert raw.driver_connection
        # asyncpg counts its names through the whole process, in hexadecimal digits.
        latest = (await raw.driver_connection.prepare("SELECT 1")).get_name()
        count = int(latest.removeprefix("__asyncpg_stmt_").removesuffix("__"), 16)
        soon = range(count + 1, count + 100)
        taken = [f"PREPARE __asyncpg_stmt_{n:x}__ AS SELECT {n}" for n in soon]
        await raw.driver_connection.execute(";".join(["DEALLOCATE ALL", *taken]))
        with pytest.raises(ProgrammingError, match="already exists") as caught:
            await connection.execute(OOLONG)
    assert "pgbouncer" in str(getattr(caught.value.orig, "__cause__", None))


BOTH_OFF: dict[str, object] = {"statement_cache_size": 0, "prepared_statement_cache_size": 0}


@pytest.mark.parametrize(
    ("settings", "named"),
    [
        (BOTH_OFF, False),
        ({**BOTH_OFF, "prepared_statement_name_func": lambda: f"tea_{token_hex(4)}"}, True),
    ],
    ids=["both off", "unique names on top"],
)
async def test_unique_names_make_statements_named_again(
    make_engine: MakeEngine, settings: dict[str, object], named: bool
) -> None:
    engine = make_engine(connect_args=settings)
    async with engine.connect() as connection:
        names = await connection.scalars(text("SELECT name FROM pg_prepared_statements"))
        assert bool(names.all()) is named


async def test_a_name_that_another_client_took_runs_his_query(make_engine: MakeEngine) -> None:
    async with make_engine().connect() as connection:
        assert await connection.scalar(OOLONG) == "oolong"
        raw = await connection.get_raw_connection()
        driver = raw.driver_connection
        assert driver
        # PgBouncer leads to another server connection, where the name is taken.
        ours = "SELECT name FROM pg_prepared_statements WHERE statement = $1"
        name = await driver.fetchval(ours, OOLONG.text)
        await driver.execute(f"DEALLOCATE {name}; PREPARE {name} AS SELECT 'pu-erh'")
        assert await connection.scalar(OOLONG) == "pu-erh"


class Base(DeclarativeBase):
    pass


class Visit(Base):
    __tablename__ = "visits"
    id: Mapped[int] = mapped_column(primary_key=True)
    created: Mapped[datetime]


async def test_after_a_value_refused_by_a_flush_the_session_needs_a_rollback(
    make_engine: MakeEngine,
) -> None:
    engine = make_engine()
    async with engine.begin() as connection:
        await connection.run_sync(Base.metadata.create_all)
    async with AsyncSession(engine) as session:
        session.add(Visit(created=NOON))
        with pytest.raises(DBAPIError, match="offset-naive and offset-aware"):
            await session.flush()
        with pytest.raises(PendingRollbackError):
            await session.execute(OOLONG)
        await session.rollback()
        session.add(Visit(created=NOON.astimezone(UTC).replace(tzinfo=None)))
        await session.commit()


@pytest.mark.parametrize(("zone", "hour"), [("UTC", 12), ("Asia/Shanghai", 4)])
async def test_the_migration_reads_the_old_times_in_the_zone_that_it_names(
    make_engine: MakeEngine, zone: str, hour: int
) -> None:
    alter = (
        "ALTER TABLE orders ALTER COLUMN created TYPE timestamptz "
        f"USING created AT TIME ZONE '{zone}'"
    )
    for language in LANGUAGES:
        page = (DOCS / language / "troubleshooting/prepared.md").read_text("utf-8")
        assert alter.replace(zone, "UTC") in page
    engine = make_engine()
    await run_sql(engine, "CREATE TABLE orders AS SELECT timestamp '2026-05-04 12:00' AS created")
    await run_sql(engine, alter)
    async with engine.connect() as connection:
        created = await connection.scalar(text("SELECT created FROM orders"))
    assert created == NOON.replace(hour=hour)


@pytest.mark.parametrize(("zone", "hour"), [("UTC", 12), ("Asia/Shanghai", 4)])
async def test_asyncpg_takes_a_time_without_a_zone_as_local_time(
    make_engine: MakeEngine, monkeypatch: pytest.MonkeyPatch, zone: str, hour: int
) -> None:
    monkeypatch.setenv("TZ", zone)
    time.tzset()
    try:
        async with make_engine().connect() as connection:
            value = literal(NOON.replace(tzinfo=None), DateTime(timezone=True))
            assert await connection.scalar(select(value)) == NOON.replace(hour=hour)
    finally:
        monkeypatch.undo()
        time.tzset()
