"""What the page on a connection's state says beyond what its snippets print."""

from collections.abc import Callable
from contextlib import suppress
from secrets import token_hex
from typing import Any, NamedTuple

import asyncpg  # type: ignore[import-untyped]
import psycopg
import pytest
from sqlalchemy import Column, Integer, MetaData, Table, Text, event, make_url, select, text
from sqlalchemy.exc import DBAPIError, InvalidRequestError, NotSupportedError
from sqlalchemy.ext.asyncio import AsyncConnection, AsyncEngine, AsyncSession, async_sessionmaker
from sqlalchemy.orm import registry

from tests.pools import (
    MakeEngine,
    both_drivers,
    engine_for,
    leaves_open,
    one_connection,
    record_queries,
    with_psycopg,
)
from tools.paths import SNIPPETS
from tools.postgres import dsn_of

SELECT = text("SELECT 'oolong'")
SHOW = text("SELECT current_setting('statement_timeout')")
SET = "SET statement_timeout = '5s'"
CLEAN = """SET SESSION AUTHORIZATION DEFAULT; RESET ROLE; RESET ALL;
    SELECT pg_advisory_unlock_all(); UNLISTEN *; CLOSE ALL;
    DISCARD TEMP; DISCARD SEQUENCES"""


@pytest.fixture
def engine(make_engine: MakeEngine) -> AsyncEngine:
    return one_connection(make_engine)


# SET in a connect event


def run_async(connection: Any, _: object) -> None:
    connection.run_async(lambda driver: driver.execute(SET))


def in_autocommit(connection: Any, _: object) -> None:
    connection.autocommit = True
    connection.cursor().execute(SET)
    connection.autocommit = False


def plain(connection: Any, _: object) -> None:
    connection.cursor().execute(SET)


def committed(connection: Any, _: object) -> None:
    connection.cursor().execute(SET)
    connection.commit()


async def settings(engine: AsyncEngine, listener: Callable[..., None]) -> list[str]:
    """What two sessions find, one after another."""
    event.listen(engine.sync_engine, "connect", listener)
    found = []
    for _ in range(2):
        async with AsyncSession(engine) as session:
            found.append(str(await session.scalar(SHOW)))
    await engine.dispose()
    return found


async def test_a_set_in_a_connect_event_stays_if_the_first_session_commits(
    engine: AsyncEngine,
) -> None:
    event.listen(engine.sync_engine, "connect", plain)
    async with AsyncSession(engine) as session:
        await session.execute(SELECT)
        await session.commit()
    async with AsyncSession(engine) as session:
        assert await session.scalar(SHOW) == "5s"


async def test_a_set_in_a_connect_event_stays_in_an_engine_in_autocommit(
    make_engine: MakeEngine,
) -> None:
    engine = make_engine(isolation_level="AUTOCOMMIT")
    assert await settings(engine, plain) == ["5s", "5s"]


async def test_a_set_in_a_connect_event_is_lost_with_autocommit_as_an_execution_option(
    engine: AsyncEngine,
) -> None:
    autocommit = engine.execution_options(isolation_level="AUTOCOMMIT")
    assert await settings(autocommit, plain) == ["0", "0"]


@leaves_open
@pytest.mark.filterwarnings("ignore:The garbage collector is trying")
async def test_on_psycopg_autocommit_as_an_execution_option_is_refused_after_such_a_set(
    database_url: str, make_engine: MakeEngine
) -> None:
    engine = make_engine(with_psycopg(database_url))
    event.listen(engine.sync_engine, "connect", plain)
    with pytest.raises(psycopg.ProgrammingError, match="can't change 'autocommit' now"):
        await engine.execution_options(isolation_level="AUTOCOMMIT").connect()


@both_drivers
async def test_a_set_by_pool_events_is_lost_on_the_first_connection_of_the_engine(
    database_url: str, make_engine: MakeEngine, driver: str
) -> None:
    url = make_url(database_url).set(drivername=f"postgresql+{driver}")
    for listener, found in ((plain, ["0", "5s"]), (committed, ["5s", "5s"])):
        engine = make_engine(url, pool_events=[(listener, "connect")])
        async with AsyncSession(engine) as first, AsyncSession(engine) as second:
            assert [await first.scalar(SHOW), await second.scalar(SHOW)] == found
            await first.commit()
        await engine.dispose()


async def test_the_driver_of_psycopg_begins_a_transaction_for_the_set_and_loses_it(
    database_url: str,
    make_engine: MakeEngine,
) -> None:
    assert await settings(one_connection(make_engine, with_psycopg(database_url)), run_async) == [
        "5s",
        "0",
    ]


async def test_autocommit_around_the_set_works_with_psycopg_too(
    database_url: str, make_engine: MakeEngine
) -> None:
    assert await settings(
        one_connection(make_engine, with_psycopg(database_url)), in_autocommit
    ) == [
        "5s",
        "5s",
    ]


# What removes what


class Left(NamedTuple):
    """What a session finds on its connection."""

    setting: bool
    role: bool
    lock: bool
    channel: bool
    table: bool
    prepared: bool


FIND = text("""
    SELECT current_setting('statement_timeout') <> '7s',
        current_setting('role') <> 'none' OR session_user <> :login OR current_user <> :login,
        EXISTS (SELECT FROM pg_locks WHERE locktype = 'advisory' AND pid = pg_backend_pid()),
        EXISTS (SELECT pg_listening_channels()),
        to_regclass('tray') IS NOT NULL,
        EXISTS (SELECT FROM pg_prepared_statements WHERE statement LIKE 'SET statement_timeout%')
""")


def clean_by(how: str) -> Callable[..., None]:
    """A `reset` listener that runs statements, or asyncpg's own reset()."""

    def clean(connection: Any, *_: object) -> None:
        connection.rollback()
        connection.run_async(lambda driver: driver.execute(how) if how else driver.reset())

    return clean


async def left_after(engine: AsyncEngine, as_somebody_else: str) -> Left:
    async with AsyncSession(engine) as session:
        for statement in (
            SET,
            "SELECT pg_advisory_lock(7)",
            "LISTEN tea",
            "CREATE TEMPORARY TABLE tray (drink text)",
            as_somebody_else,
        ):
            await session.execute(text(statement))
        await session.commit()
    async with AsyncSession(engine) as session:
        return Left(*(await session.execute(FIND, {"login": engine.url.username})).one())


@pytest.mark.parametrize(
    ("how", "left"),
    [
        (None, Left(True, True, True, True, True, True)),
        ("", Left(False, True, False, False, True, True)),
        (CLEAN, Left(False, False, False, False, False, True)),
        ("DISCARD ALL", Left(False, False, False, False, False, False)),
    ],
    ids=["return", "asyncpg's reset()", "CLEAN", "DISCARD ALL"],
)
@pytest.mark.parametrize(
    "as_somebody_else", ["SET ROLE pg_monitor", "SET SESSION AUTHORIZATION pg_monitor"]
)
async def test_each_way_to_clean_removes_what_the_table_says(
    make_engine: MakeEngine, how: str | None, left: Left, as_somebody_else: str
) -> None:
    # RESET ALL goes back to what server_settings gave
    given = {"server_settings": {"statement_timeout": "7s"}}
    engine = one_connection(make_engine, connect_args=given)
    if how is not None:
        event.listen(engine.sync_engine, "reset", clean_by(how))
    assert await left_after(engine, as_somebody_else) == left


@pytest.mark.parametrize(
    ("how", "stays"), [(None, True), ("", True), (CLEAN, False), ("DISCARD ALL", False)]
)
async def test_lastval_of_one_session_is_there_for_the_next_until_clean_or_discard(
    engine: AsyncEngine, how: str | None, stays: bool
) -> None:
    if how is not None:
        event.listen(engine.sync_engine, "reset", clean_by(how))
    async with AsyncSession(engine) as session:
        await session.execute(text("CREATE SEQUENCE numbers START 42"))
        await session.execute(text("SELECT nextval('numbers')"))
        await session.commit()
    async with AsyncSession(engine) as session:
        if stays:
            assert await session.scalar(text("SELECT lastval()")) == 42
        else:
            with pytest.raises(DBAPIError, match="lastval is not yet defined"):
                await session.scalar(text("SELECT lastval()"))


def test_the_cleaning_tested_here_is_the_one_on_the_page() -> None:
    snippet = (SNIPPETS / "pool" / "state" / "clean.py").read_text("utf-8")
    assert f'CLEAN = """{CLEAN}"""' in snippet


async def test_a_role_given_at_login_is_there_again_after_cleaning(make_engine: MakeEngine) -> None:
    given = {"server_settings": {"role": "pg_monitor"}}
    engine = one_connection(make_engine, connect_args=given)
    event.listen(engine.sync_engine, "reset", clean_by(CLEAN))
    for _ in range(2):
        async with AsyncSession(engine) as session:
            assert await session.scalar(text("SELECT current_user")) == "pg_monitor"
            await session.execute(text("SET ROLE pg_read_all_data"))
            await session.commit()


@pytest.mark.parametrize(
    ("in_autocommit", "left"), [(False, ("5s", True)), (True, ("0", False))], ids=["no", "yes"]
)
async def test_psycopg_cleans_in_autocommit_or_not_at_all(
    database_url: str, make_engine: MakeEngine, in_autocommit: bool, left: tuple[str, bool]
) -> None:
    engine = one_connection(make_engine, with_psycopg(database_url))

    @event.listens_for(engine.sync_engine, "reset")
    def clean(connection: Any, *_: object) -> None:
        connection.rollback()
        connection.autocommit = in_autocommit
        connection.cursor().execute(CLEAN)
        if in_autocommit:
            connection.autocommit = False

    async with AsyncSession(engine) as session:
        await session.execute(text(SET))
        await session.execute(text("SET ROLE pg_monitor"))
        await session.commit()
    async with AsyncSession(engine) as session:
        role = text("SELECT current_user = 'pg_monitor'")
        assert (await session.scalar(SHOW), await session.scalar(role)) == left


async def test_cleaning_works_for_two_engines_and_on_an_invalidated_connection(
    make_engine: MakeEngine,
) -> None:
    for engine in (one_connection(make_engine), one_connection(make_engine)):
        event.listen(engine.sync_engine, "reset", clean_by(CLEAN))
        async with AsyncSession(engine) as session:
            await session.execute(text(SET))
            await session.commit()
            await session.execute(SELECT)
            await session.invalidate()
        async with AsyncSession(engine) as session:
            assert await session.scalar(SHOW) == "0"
        await engine.dispose()


async def test_asyncpgs_own_pool_resets_a_connection_on_release(database_url: str) -> None:
    async with asyncpg.create_pool(dsn_of(database_url), min_size=1, max_size=1) as pool:
        async with pool.acquire() as connection:
            await connection.execute(SET)
        async with pool.acquire() as connection:
            assert await connection.fetchval("SHOW statement_timeout") == "0"


async def test_cleaning_costs_one_message_on_each_return(engine: AsyncEngine) -> None:
    sent = record_queries(engine)
    event.listen(engine.sync_engine, "reset", clean_by(CLEAN))
    for _ in range(2):
        async with AsyncSession(engine) as session:
            await session.execute(SELECT)
    assert sent == ["BEGIN;", "ROLLBACK;", CLEAN] * 2


@pytest.mark.filterwarnings("ignore")
async def test_a_connection_whose_cleaning_fails_is_thrown_away(engine: AsyncEngine) -> None:
    event.listen(engine.sync_engine, "reset", clean_by("no SQL at all"))
    async with AsyncSession(engine) as session:
        first = await session.scalar(text("SELECT pg_backend_pid()"))
    async with AsyncSession(engine) as session:
        assert await session.scalar(text("SELECT pg_backend_pid()")) != first


# An advisory lock


async def test_a_lock_on_a_connection_of_its_own_is_not_in_a_transaction(
    make_engine: MakeEngine, watcher: AsyncConnection
) -> None:
    engine = one_connection(make_engine)
    async with engine.connect() as keeper:
        await keeper.execution_options(isolation_level="AUTOCOMMIT")
        await keeper.execute(text("SELECT pg_advisory_lock(7)"))
        state = text(
            "SELECT state FROM pg_stat_activity WHERE pid IN"
            " (SELECT pid FROM pg_locks WHERE locktype = 'advisory' AND database ="
            "  (SELECT oid FROM pg_database WHERE datname = current_database()))"
        )
        assert await watcher.scalar(state) == "idle"
        assert await watcher.scalar(text("SELECT pg_try_advisory_lock(7)")) is False
        await watcher.execute(
            text(
                "SELECT pg_terminate_backend(pid, 5000) FROM pg_stat_activity"
                " WHERE datname = current_database() AND pid <> pg_backend_pid()"
            )
        )
        # the connection breaks: the lock is the next one's, and keeper has not heard of it
        assert await watcher.scalar(text("SELECT pg_try_advisory_lock(7)")) is True
        assert not keeper.invalidated
        await keeper.invalidate()


async def test_a_lock_on_a_pooled_connection_outlives_a_job_that_fails(
    engine: AsyncEngine, watcher: AsyncConnection
) -> None:
    with suppress(ZeroDivisionError):
        async with engine.connect() as keeper:
            await keeper.execution_options(isolation_level="AUTOCOMMIT")
            await keeper.execute(text("SELECT pg_advisory_lock(7)"))
            raise ZeroDivisionError
    assert await watcher.scalar(text("SELECT pg_try_advisory_lock(7)")) is False


# A setting for each transaction


async def test_a_set_that_is_rolled_back_does_not_reach_the_next_session(
    engine: AsyncEngine,
) -> None:
    for committed, found in ((False, "0"), (True, "5s")):
        async with AsyncSession(engine) as session:
            await session.execute(text(SET))
            if committed:
                await session.commit()
        async with AsyncSession(engine) as session:
            assert await session.scalar(SHOW) == found


async def test_a_setting_of_a_transaction_is_empty_in_the_next_one_of_the_same_session(
    engine: AsyncEngine,
) -> None:
    who = text("SELECT current_setting('teahouse.guest', true)")
    i_am = text("SELECT set_config('teahouse.guest', 'Lu Yu', true)")
    async with AsyncSession(engine) as session:
        assert await session.scalar(who) is None
        await session.execute(i_am)
        await session.commit()
        assert await session.scalar(who) == ""


async def test_an_after_begin_listener_sets_it_in_each_transaction(engine: AsyncEngine) -> None:
    who = text("SELECT current_setting('teahouse.guest', true)")
    i_am = text("SELECT set_config('teahouse.guest', 'Lu Yu', true)")
    async with AsyncSession(engine) as session:
        event.listen(
            session.sync_session,
            "after_begin",
            lambda _, __, connection: connection.execute(i_am),
        )
        for _ in range(3):
            assert await session.scalar(who) == "Lu Yu"
            await session.commit()


async def test_without_it_a_refresh_after_the_commit_does_not_find_the_row(
    make_engine: MakeEngine,
) -> None:
    class Order:
        id: int

    table = Table("orders", MetaData(), Column("id", Integer, primary_key=True))
    registry().map_imperatively(Order, table)
    role, own = f"guide_{token_hex(4)}", "current_setting('teahouse.guest', true) = 'Lu Yu'"
    engine = make_engine()
    async with engine.begin() as connection:
        await connection.run_sync(table.metadata.create_all)
        for statement in (
            "ALTER TABLE orders ENABLE ROW LEVEL SECURITY",
            f"CREATE POLICY own_orders ON orders USING ({own})",
            f"CREATE ROLE {role}",
            f"GRANT ALL ON ALL TABLES IN SCHEMA public TO {role}",
            f"GRANT ALL ON ALL SEQUENCES IN SCHEMA public TO {role}",
        ):
            await connection.execute(text(statement))
    try:
        ordinary = make_engine(connect_args={"server_settings": {"role": role}})
        async with AsyncSession(ordinary, expire_on_commit=False) as session:
            await session.execute(text("SELECT set_config('teahouse.guest', 'Lu Yu', true)"))
            order = Order()
            session.add(order)
            await session.commit()
            with pytest.raises(InvalidRequestError, match="Could not refresh instance"):
                await session.refresh(order)
        await ordinary.dispose()
    finally:
        async with engine.begin() as connection:
            await connection.execute(text(f"DROP OWNED BY {role}"))
            await connection.execute(text(f"DROP ROLE {role}"))


# A schema for each tenant


@pytest.fixture
async def schemas(engine: AsyncEngine) -> list[str]:
    """Two schemas with a table of one name; the second has a column more."""
    names = ["guide_a", "guide_b"]
    async with engine.begin() as connection:
        for name, more in zip(names, ["", ", 1 AS cups"], strict=True):
            await connection.execute(text(f"CREATE SCHEMA {name}"))
            rows = f"SELECT '{name}' AS owner{more}"
            await connection.execute(text(f"CREATE TABLE {name}.orders AS {rows}"))
    return names


@pytest.mark.parametrize(("columns", "fails"), [("owner", False), ("*", True)])
async def test_a_search_path_for_each_transaction_wants_the_columns_named(
    engine: AsyncEngine, schemas: list[str], columns: str, fails: bool
) -> None:
    path = text("SELECT set_config('search_path', :schema, true)")
    said = []
    for schema in schemas * 2:
        with suppress(NotSupportedError):
            async with AsyncSession(engine) as session:
                await session.execute(path, {"schema": schema})
                said.append(await session.scalar(text(f"SELECT {columns} FROM orders")))
    assert (said == schemas * 2) is not fails


async def test_schema_translate_map_outlives_a_commit_on_the_engine_and_not_on_the_connection(
    engine: AsyncEngine, schemas: list[str]
) -> None:
    owner = select(Table("orders", MetaData(), Column("owner", Text)))
    for schema in schemas:
        options = {"schema_translate_map": {None: schema}}
        tenant = engine.execution_options(**options)
        assert tenant.pool is engine.pool
        async with async_sessionmaker(tenant)() as session:
            for _ in range(2):
                assert await session.scalar(owner) == schema
                await session.commit()
        async with AsyncSession(engine) as session:
            await session.connection(execution_options=options)
            assert await session.scalar(owner) == schema
            await session.commit()
            with pytest.raises(DBAPIError, match='relation "orders" does not exist'):
                await session.scalar(owner)


async def test_schema_translate_map_does_not_translate_text(
    engine: AsyncEngine, schemas: list[str]
) -> None:
    async with engine.begin() as connection:
        await connection.execute(text("CREATE TABLE public.orders AS SELECT 'everybody' AS owner"))
    tenant = engine.execution_options(schema_translate_map={None: schemas[0]})
    async with AsyncSession(tenant) as session:
        assert await session.scalar(text("SELECT owner FROM orders")) == "everybody"


@both_drivers
async def test_a_search_path_of_the_connection_outlives_a_rollback(
    make_engine: MakeEngine, database_url: str, driver: str
) -> None:
    connect_args: dict[str, Any] = (
        {"server_settings": {"search_path": "shop,public"}}
        if driver == "asyncpg"
        else {"options": "-c search_path=shop,public"}
    )
    engine = engine_for(make_engine, database_url, driver, connect_args=connect_args)
    schema = text("SELECT current_schema()")
    async with engine.begin() as connection:
        await connection.execute(text("CREATE SCHEMA shop"))
    async with engine.connect() as connection:
        await connection.execute(text("SET search_path TO public"))
        assert await connection.scalar(schema) == "public"
        await connection.rollback()
        assert await connection.scalar(schema) == "shop"


# A setting that reaches the next guest


async def test_set_takes_no_parameters_and_set_config_does(engine: AsyncEngine) -> None:
    async with AsyncSession(engine) as session:
        await session.execute(
            text("SELECT set_config('teahouse.guest', :name, true)"), {"name": "A"}
        )
        assert await session.scalar(text("SELECT current_setting('teahouse.guest')")) == "A"
        with pytest.raises(DBAPIError, match=r'syntax error at or near "\$1"'):
            await session.execute(text("SET LOCAL teahouse.guest = :name"), {"name": "B"})


async def test_set_config_sets_a_role_for_the_transaction(engine: AsyncEngine) -> None:
    async with AsyncSession(engine) as session:
        me = await session.scalar(text("SELECT current_user"))
        await session.execute(
            text("SELECT set_config('role', :name, true)"), {"name": "pg_monitor"}
        )
        assert await session.scalar(text("SELECT current_user")) == "pg_monitor" != me
        await session.commit()
        assert await session.scalar(text("SELECT current_user")) == me
