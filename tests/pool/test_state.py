"""What the page on a connection's state says beyond what its snippets print."""

import asyncio
from collections.abc import Callable
from contextlib import suppress
from secrets import token_hex
from socket import SO_KEEPALIVE, SOL_SOCKET
from typing import Any, NamedTuple

import asyncpg  # type: ignore[import-untyped]
import psycopg
import pytest
from sqlalchemy import URL, Column, Integer, MetaData, Table, Text, event, make_url, select, text
from sqlalchemy.exc import (
    DBAPIError,
    InterfaceError,
    InvalidRequestError,
    NotSupportedError,
)
from sqlalchemy.ext.asyncio import (
    AsyncConnection,
    AsyncEngine,
    AsyncSession,
    async_sessionmaker,
)
from sqlalchemy.orm import registry
from sqlalchemy.pool import NullPool, QueuePool

from tests.pools import MakeEngine, both_drivers, engine_for, leaves_open, with_psycopg
from tests.waiting import eventually
from tools.paths import SNIPPETS
from tools.postgres import Proxy, dsn_of

SELECT = text("SELECT 'oolong'")
SHOW = text("SELECT current_setting('statement_timeout')")
SET = "SET statement_timeout = '5s'"
CLEAN = """SET SESSION AUTHORIZATION DEFAULT; RESET ROLE; RESET ALL;
    SELECT pg_advisory_unlock_all(); UNLISTEN *; CLOSE ALL;
    DISCARD TEMP; DISCARD SEQUENCES"""


@pytest.fixture
def engine(make_engine: MakeEngine) -> AsyncEngine:
    """An engine that lends a single connection, and lets nobody wait for it."""
    return one_connection(make_engine)


def one_connection(make: MakeEngine, *url: str | URL, **options: Any) -> AsyncEngine:
    """An engine with a pool of one, for the test's database or this URL."""
    return make(*url, pool_size=1, max_overflow=0, pool_timeout=0, **options)


def listen_in(engine: AsyncEngine) -> list[str]:
    """A list that grows with each statement asyncpg sends on its own account."""
    sent: list[str] = []

    @event.listens_for(engine.sync_engine, "connect")
    def listen(connection: Any, _: object) -> None:
        connection.driver_connection.add_query_logger(lambda record: sent.append(record.query))

    return sent


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
    sent = listen_in(engine)
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


# LISTEN


async def listen(connection: AsyncConnection) -> asyncio.Queue[str]:
    """What arrives on the channel of the kitchen, on this connection."""
    heard = asyncio.Queue[str]()
    driver: Any = (await connection.get_raw_connection()).driver_connection
    await driver.add_listener("kitchen", lambda *said: heard.put_nowait(said[3]))
    return heard


async def call_out(watcher: AsyncConnection, drink: str) -> None:
    await watcher.execute(text(f"NOTIFY kitchen, '{drink}'"))


async def channels(connection: AsyncConnection) -> list[str]:
    return list(await connection.scalars(text("SELECT pg_listening_channels()")))


@pytest.mark.parametrize("way", ["recycled", "cleaned", "kept"])
async def test_a_listener_of_a_pooled_connection_goes_when_the_pool_renews_or_cleans_it(
    make_engine: MakeEngine, way: str
) -> None:
    engine = one_connection(make_engine, pool_recycle=0 if way == "recycled" else -1)
    if way == "cleaned":
        event.listen(
            engine.sync_engine,
            "reset",
            lambda connection, _, __: connection.run_async(lambda driver: driver.execute(CLEAN)),
        )
    async with engine.connect() as connection:
        await listen(connection)
    async with engine.connect() as connection:
        assert await channels(connection) == (["kitchen"] if way == "kept" else [])


async def test_a_notification_waits_for_the_end_of_the_listeners_transaction(
    engine: AsyncEngine, watcher: AsyncConnection
) -> None:
    async with engine.connect() as connection:
        heard = await listen(connection)
        await connection.execute(SELECT)
        await call_out(watcher, "oolong")
        await connection.execute(SELECT)
        assert heard.empty()
        await connection.commit()
        assert await asyncio.wait_for(heard.get(), 60) == "oolong"


async def test_what_is_sent_after_the_listeners_connection_broke_is_lost(
    make_engine: MakeEngine, watcher: AsyncConnection
) -> None:
    keeper = make_engine(poolclass=NullPool, isolation_level="AUTOCOMMIT")
    ended = asyncio.Event()
    async with keeper.connect() as connection:
        heard = await listen(connection)
        driver: Any = (await connection.get_raw_connection()).driver_connection
        driver.add_termination_listener(lambda _: ended.set())
        pid = driver.get_server_pid()
        await watcher.execute(text(f"SELECT pg_terminate_backend({pid})"))
        await asyncio.wait_for(ended.wait(), 60)
        await call_out(watcher, "oolong")
    async with keeper.connect() as connection:
        again = await listen(connection)
        await call_out(watcher, "longjing")
        assert await asyncio.wait_for(again.get(), 60) == "longjing"
    assert heard.empty()


async def test_a_silent_line_is_noticed_by_a_query_with_a_timeout_alone(
    make_engine: MakeEngine, database_url: str
) -> None:
    async with Proxy(database_url) as proxy:
        keeper = make_engine(proxy.url, poolclass=NullPool, isolation_level="AUTOCOMMIT")
        async with keeper.connect() as connection:
            await listen(connection)
            driver: Any = (await connection.get_raw_connection()).driver_connection
            ended = asyncio.Event()
            driver.add_termination_listener(lambda _: ended.set())
            line = driver._transport.get_extra_info("socket")
            assert line.getsockopt(SOL_SOCKET, SO_KEEPALIVE) == 0  # so nobody asks
            proxy.swallow()
            with pytest.raises(TimeoutError):
                await driver.fetchval("SELECT 1", timeout=0.2)
            assert not ended.is_set()
            await eventually("the cancel request is let in", lambda: len(proxy.clients) == 2)
            driver.terminate()


async def test_a_callback_may_be_async_and_then_each_message_is_a_task(
    make_engine: MakeEngine, watcher: AsyncConnection
) -> None:
    heard = asyncio.Queue[str]()
    second = asyncio.Event()

    async def hear(*said: Any) -> None:
        if said[3] == "oolong":  # the first message ends after the second
            await second.wait()
        heard.put_nowait(said[3])
        second.set()

    keeper = make_engine(poolclass=NullPool, isolation_level="AUTOCOMMIT")
    async with keeper.connect() as connection:
        driver: Any = (await connection.get_raw_connection()).driver_connection
        await driver.add_listener("kitchen", hear)
        for drink in ("oolong", "longjing"):
            await call_out(watcher, drink)
        said = [await asyncio.wait_for(heard.get(), 60) for _ in range(2)]
    assert said == ["longjing", "oolong"]


async def test_what_an_async_callback_raises_goes_to_the_log_of_asyncio_alone(
    make_engine: MakeEngine, watcher: AsyncConnection, caplog: pytest.LogCaptureFixture
) -> None:
    async def fail(*_: Any) -> None:
        raise ZeroDivisionError

    keeper = make_engine(poolclass=NullPool, isolation_level="AUTOCOMMIT")
    async with keeper.connect() as connection:
        driver: Any = (await connection.get_raw_connection()).driver_connection
        await driver.add_listener("kitchen", fail)
        await call_out(watcher, "oolong")
        await eventually("asyncio has logged it", lambda: "ZeroDivisionError" in caplog.text)
        await connection.execute(SELECT)
    assert {record.name for record in caplog.records} == {"asyncio"}


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


async def test_a_notification_of_a_transaction_that_is_rolled_back_is_not_sent(
    engine: AsyncEngine, make_engine: MakeEngine, watcher: AsyncConnection
) -> None:
    async with make_engine(isolation_level="AUTOCOMMIT").connect() as connection:
        heard = await listen(connection)
        async with engine.connect() as sender:
            await call_out(sender, "oolong")
        await call_out(watcher, "longjing")
        assert await asyncio.wait_for(heard.get(), 60) == "longjing"


async def test_psycopg_reads_notifications_of_a_connection_in_autocommit(
    make_engine: MakeEngine, database_url: str, watcher: AsyncConnection
) -> None:
    keeper = make_engine(
        with_psycopg(database_url), poolclass=NullPool, isolation_level="AUTOCOMMIT"
    )
    async with keeper.connect() as connection:
        await connection.execute(text("LISTEN kitchen"))
        await call_out(watcher, "oolong")
        driver: Any = (await connection.get_raw_connection()).driver_connection
        said = [each.payload async for each in driver.notifies(timeout=60, stop_after=1)]
    assert said == ["oolong"]


# A BEGIN that nobody knows of


async def poison(engine: AsyncEngine) -> None:
    """Return a connection with a transaction that SQLAlchemy does not know of."""
    async with engine.connect() as connection:
        driver: Any = (await connection.get_raw_connection()).driver_connection
        await driver.execute("BEGIN")


async def guest(engine: AsyncEngine) -> bool:
    """Whether a session gets its answer."""
    try:
        async with AsyncSession(engine) as session:
            await session.execute(SELECT)
    except InterfaceError:
        return False
    return True


async def test_one_bad_connection_of_five_fails_every_fifth_request(
    make_engine: MakeEngine,
) -> None:
    engine = make_engine(pool_size=5)
    connections = [await engine.connect() for _ in range(5)]
    for connection in connections:
        await connection.close()
    await poison(engine)
    assert [await guest(engine) for _ in range(10)] == [True, True, True, True, False] * 2
    await engine.dispose()
    assert await guest(engine)


async def test_pre_ping_replaces_the_bad_connection_at_the_cost_of_an_error(
    make_engine: MakeEngine,
) -> None:
    engine = one_connection(make_engine, pool_pre_ping=True)
    await poison(engine)
    assert [await guest(engine) for _ in range(3)] == [False, True, True]


@pytest.mark.parametrize("pre_ping", [True, False])
async def test_in_autocommit_an_open_begin_loses_what_others_write(
    make_engine: MakeEngine, watcher: AsyncConnection, pre_ping: bool
) -> None:
    await watcher.execute(text("CREATE TABLE orders (drink text)"))
    engine = one_connection(make_engine, isolation_level="AUTOCOMMIT", pool_pre_ping=pre_ping)
    async with engine.connect() as connection:
        driver: Any = (await connection.get_raw_connection()).driver_connection
        await driver.execute("BEGIN")
    async with engine.connect() as connection:
        await connection.execute(text("INSERT INTO orders VALUES ('oolong')"))
    await engine.dispose()
    assert await watcher.scalar(text("SELECT count(*) FROM orders")) == 0


async def test_the_pool_sees_nothing_of_an_aborted_script(
    engine: AsyncEngine, watcher: AsyncConnection
) -> None:
    async with engine.connect() as connection:
        driver: Any = (await connection.get_raw_connection()).driver_connection
        with pytest.raises(Exception, match="division by zero"):
            await driver.execute("BEGIN; SELECT 1 / 0; COMMIT;")
    assert isinstance(engine.pool, QueuePool)
    assert (engine.pool.checkedin(), engine.pool.checkedout()) == (1, 0)
    state = (
        "SELECT state FROM pg_stat_activity"
        " WHERE datname = current_database() AND pid <> pg_backend_pid()"
    )
    assert await watcher.scalar(text(state)) == "idle in transaction (aborted)"


async def test_recycling_replaces_the_bad_connection(make_engine: MakeEngine) -> None:
    engine = one_connection(make_engine, pool_recycle=1)
    await poison(engine)
    assert not await guest(engine)
    await eventually("the bad connection is replaced", lambda: guest(engine))


async def test_psycopg_rolls_such_a_transaction_back_on_return(
    database_url: str, make_engine: MakeEngine
) -> None:
    engine = one_connection(make_engine, with_psycopg(database_url))
    await poison(engine)
    assert await guest(engine)


async def test_a_script_without_begin_is_a_transaction_all_the_same(engine: AsyncEngine) -> None:
    async with engine.connect() as connection:
        driver: Any = (await connection.get_raw_connection()).driver_connection
        with pytest.raises(Exception, match="division by zero"):
            await driver.execute("CREATE TABLE orders (drink text); SELECT 1 / 0;")
    assert await guest(engine)
    async with AsyncSession(engine) as session:
        assert await session.scalar(text("SELECT to_regclass('orders')")) is None


async def test_a_transaction_of_the_driver_ends_with_its_block(engine: AsyncEngine) -> None:
    async with engine.connect() as connection:
        driver: Any = (await connection.get_raw_connection()).driver_connection
        with pytest.raises(Exception, match="division by zero"):
            async with driver.transaction():
                await driver.execute("SELECT 1 / 0")
    assert await guest(engine)


# ROLLBACK


async def rollbacks(watcher: AsyncConnection) -> int:
    return int(
        await watcher.scalar(
            text("SELECT xact_rollback FROM pg_stat_database WHERE datname = current_database()")
        )
        or 0
    )


@pytest.mark.parametrize(
    ("options", "commit", "counted"),
    [
        ({}, False, 10),
        ({"pool_reset_on_return": None}, False, 10),
        ({}, True, 0),
        ({"isolation_level": "AUTOCOMMIT"}, False, 0),
    ],
    ids=["as it is", "reset None", "commit()", "AUTOCOMMIT"],
)
async def test_the_server_counts_a_rollback_for_each_session_that_does_not_commit(
    make_engine: MakeEngine,
    watcher: AsyncConnection,
    options: dict[str, Any],
    commit: bool,
    counted: int,
) -> None:
    engine = one_connection(make_engine, **options)
    async with AsyncSession(engine) as session:
        await session.execute(SELECT)  # and what SQLAlchemy asks on its first connection
        await session.commit()
    await engine.dispose()
    before = await settled(watcher)
    for _ in range(10):
        async with AsyncSession(engine) as session:
            await session.execute(SELECT)
            if commit:
                await session.commit()
    await engine.dispose()  # a backend hands in its numbers when it ends
    assert await settled(watcher) - before == counted


async def settled(watcher: AsyncConnection) -> int:
    """The rollbacks counted, once every other backend of this database has ended."""
    alone = text(
        "SELECT count(*) = 0 FROM pg_stat_activity"
        " WHERE datname = current_database() AND pid <> pg_backend_pid()"
    )
    await eventually("every other backend has ended", lambda: watcher.scalar(alone))
    return await rollbacks(watcher)


@pytest.mark.parametrize(("reset", "saved"), [("rollback", False), (None, True)])
async def test_without_a_reset_the_next_session_commits_the_work_of_a_raw_cursor(
    make_engine: MakeEngine, reset: str | None, saved: bool
) -> None:
    engine = one_connection(make_engine, pool_reset_on_return=reset)
    create = "CREATE TABLE orders (drink text)"
    async with engine.connect() as connection:
        await connection.run_sync(lambda sync: sync.connection.cursor().execute(create))
    async with AsyncSession(engine) as session:
        await session.execute(SELECT)
        await session.commit()
    async with AsyncSession(engine) as session:
        assert (await session.scalar(text("SELECT to_regclass('orders')")) is not None) is saved


# AUTOCOMMIT


@both_drivers
@pytest.mark.parametrize(("option", "times"), [({}, 1), ({"isolation_level": "AUTOCOMMIT"}, 2)])
async def test_now_tells_autocommit_and_the_isolation_level_does_not(
    make_engine: MakeEngine, database_url: str, driver: str, option: dict[str, str], times: int
) -> None:
    engine = engine_for(make_engine, database_url, driver, **option)
    async with engine.connect() as connection:
        assert await connection.scalar(text("SHOW transaction_isolation")) == "read committed"
        assert await connection.get_isolation_level() == "READ COMMITTED"
        now = text("SELECT now()")
        assert len({await connection.scalar(now), await connection.scalar(now)}) == times
    await engine.dispose()


async def test_skipping_the_rollback_is_logged_and_sends_what_was_sent_before_nothing(
    make_engine: MakeEngine, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level("INFO", "sqlalchemy.engine")
    engine = one_connection(
        make_engine, isolation_level="AUTOCOMMIT", skip_autocommit_rollback=True
    )
    sent = listen_in(engine)
    async with AsyncSession(engine) as session:
        await session.execute(SELECT)
    assert "ROLLBACK will be skipped by skip_autocommit_rollback" in caplog.messages
    assert sent == []


@pytest.mark.parametrize("owner", ["engine", "session", "connection"])
async def test_autocommit_as_an_execution_option_is_undone_on_return(
    engine: AsyncEngine, owner: str
) -> None:
    sent = listen_in(engine)
    option = {"isolation_level": "AUTOCOMMIT"}
    if owner == "engine":
        async with AsyncSession(engine.execution_options(**option)) as session:
            await session.execute(SELECT)
    elif owner == "session":
        async with AsyncSession(engine) as session:
            await session.connection(execution_options=option)
            await session.execute(SELECT)
    else:
        async with engine.connect() as connection:
            await connection.execution_options(**option)
            await connection.execute(SELECT)
    assert sent == []
    async with AsyncSession(engine) as session:
        await session.execute(SELECT)
    assert sent == ["BEGIN ISOLATION LEVEL READ COMMITTED;", "ROLLBACK;"]


async def test_autocommit_of_the_engine_stays(make_engine: MakeEngine) -> None:
    engine = one_connection(make_engine, isolation_level="AUTOCOMMIT")
    sent = listen_in(engine)
    for _ in range(3):
        async with AsyncSession(engine) as session:
            await session.execute(SELECT)
    assert sent == []


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
