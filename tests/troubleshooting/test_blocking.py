"""What the page on transactions that block others says beyond what its snippets print."""

import asyncio
import re

import pytest
from sqlalchemy import make_url, text
from sqlalchemy.exc import DBAPIError
from sqlalchemy.ext.asyncio import AsyncConnection, AsyncEngine, create_async_engine
from sqlalchemy.pool import NullPool

from tests.pools import MakeEngine, both_drivers, engine_for
from tests.prose import sql_fences
from tests.waiting import eventually
from tools.paths import DOCS, LANGUAGES
from tools.postgres import EmbeddedPostgres, execute


@pytest.fixture
def engine(make_engine: MakeEngine) -> AsyncEngine:
    """The engine of the tea house."""
    return make_engine()


WAITS = text("""
    SELECT wait_event_type || ' ' || wait_event FROM pg_stat_activity
    WHERE :pid = ANY (pg_blocking_pids(pid))
""")


async def blocked_by(url: str, pid: int) -> str | None:
    """What the first backend that waits for this one waits on, if there is one."""
    async with create_async_engine(url, poolclass=NullPool).connect() as connection:
        waits: str | None = await connection.scalar(WAITS, {"pid": pid})
        return waits


async def waits_for(url: str, pid: int) -> str:
    """The same, as soon as one waits, half a minute at most."""
    async with asyncio.timeout(30):
        while not (waits := await blocked_by(url, pid)):
            continue
    return waits


@pytest.fixture
async def migrating(database_url: str) -> AsyncEngine:
    """An engine for statements that stand outside a transaction; it made a table of orders."""
    migrating = create_async_engine(database_url, poolclass=NullPool, isolation_level="AUTOCOMMIT")
    async with migrating.connect() as connection:
        await connection.execute(text("CREATE TABLE orders AS SELECT 'longjing' AS drink"))
        await connection.execute(text("CREATE TABLE guests AS SELECT 'Lin' AS name"))
    return migrating


@pytest.mark.parametrize(
    ("driver", "query", "waits"),
    [
        ("asyncpg", "SELECT 'oolong'", True),
        ("psycopg", "SELECT 'oolong'", False),
        ("psycopg", "SELECT cast(:drink AS text)", True),
        ("asyncpg", "UPDATE guests SET name = 'Wei'", False),
        ("psycopg", "UPDATE guests SET name = 'Wei'", False),
    ],
)
async def test_create_index_concurrently_waits_for_who_has_a_snapshot_whatever_the_table(
    database_url: str,
    make_engine: MakeEngine,
    migrating: AsyncEngine,
    driver: str,
    query: str,
    waits: bool,
) -> None:
    engine = make_engine(make_url(database_url).set(drivername=f"postgresql+{driver}"))

    async def migrate() -> None:
        async with migrating.connect() as connection:
            await connection.execute(text("CREATE INDEX CONCURRENTLY ON orders (drink)"))

    async with engine.connect() as reader:
        pid = await reader.scalar(text("SELECT pg_backend_pid()"))
        await reader.execute(text(query), {"drink": "oolong"} if ":drink" in query else {})
        migrated = asyncio.create_task(migrate())
        if waits:
            assert await waits_for(database_url, pid) == "Lock virtualxid"
        else:
            await asyncio.wait_for(migrated, 30)
    await asyncio.wait_for(migrated, 30)


async def test_a_select_waits_behind_alter_table_until_its_lock_timeout(
    database_url: str, engine: AsyncEngine, migrating: AsyncEngine
) -> None:
    async def alter() -> None:
        async with migrating.connect() as connection:
            await connection.execute(text("SET lock_timeout = '1s'"))
            await connection.execute(text("ALTER TABLE orders ADD COLUMN price int"))

    async def count() -> int | None:
        async with migrating.connect() as connection:
            found: int | None = await connection.scalar(text("SELECT count(*) FROM orders"))
            return found

    async with engine.connect() as reader:
        pid = await reader.scalar(text("SELECT pg_backend_pid()"))
        await reader.execute(text("SELECT drink FROM orders"))
        altering = asyncio.create_task(alter())
        assert await waits_for(database_url, pid) == "Lock relation"
        behind = asyncio.create_task(count())
        with pytest.raises(DBAPIError, match="canceling statement due to lock timeout"):
            await altering
        # The reader's transaction is still open; only the migration stood in the way.
        assert await asyncio.wait_for(behind, 30) == 1


@both_drivers
async def test_while_alter_table_waits_a_select_waits_behind_it(
    database_url: str, make_engine: MakeEngine, migrating: AsyncEngine, driver: str
) -> None:
    engine = engine_for(make_engine, database_url, driver)

    async def run(statement: str) -> None:
        async with migrating.connect() as connection:
            await connection.execute(text(statement))

    who = text("SELECT pid FROM pg_stat_activity WHERE :pid = ANY (pg_blocking_pids(pid))")
    async with engine.connect() as reader:
        pid = await reader.scalar(text("SELECT pg_backend_pid()"))
        await reader.execute(text("SELECT drink FROM orders"))
        altering = asyncio.create_task(run("ALTER TABLE orders ADD COLUMN price int"))
        await waits_for(database_url, pid)
        async with migrating.connect() as watcher:
            altering_pid = await watcher.scalar(who, {"pid": pid})
        selecting = asyncio.create_task(run("SELECT count(*) FROM orders"))
        assert await waits_for(database_url, altering_pid) == "Lock relation"
    await asyncio.gather(altering, selecting)


async def test_while_alter_table_waits_a_transaction_that_has_read_the_table_reads_on(
    database_url: str, engine: AsyncEngine, migrating: AsyncEngine
) -> None:
    async def alter() -> None:
        async with migrating.connect() as connection:
            await connection.execute(text("ALTER TABLE orders ADD COLUMN price int"))

    async with engine.connect() as reader:
        pid = await reader.scalar(text("SELECT pg_backend_pid()"))
        await reader.execute(text("SELECT drink FROM orders"))
        altering = asyncio.create_task(alter())
        assert await waits_for(database_url, pid) == "Lock relation"
        again = reader.scalar(text("SELECT count(*) FROM orders"))
        assert await asyncio.wait_for(again, 30) == 1
        assert not altering.done()
    await altering


@pytest.mark.parametrize(
    ("statement", "waits"),
    [
        ("ALTER TABLE orders ADD COLUMN price int", True),
        ("ALTER TABLE orders ALTER COLUMN drink SET STATISTICS 50", False),
        ("VACUUM FULL orders", True),
        ("VACUUM orders", False),
    ],
)
async def test_which_commands_wait_for_a_transaction_that_has_read_the_table(
    engine: AsyncEngine, migrating: AsyncEngine, statement: str, waits: bool
) -> None:
    async with engine.connect() as reader, migrating.connect() as connection:
        await reader.execute(text("SELECT drink FROM orders"))
        await connection.execute(text("SET lock_timeout = '500ms'"))
        if waits:
            with pytest.raises(DBAPIError, match="canceling statement due to lock timeout"):
                await connection.execute(text(statement))
        else:
            await connection.execute(text(statement))


async def test_an_interrupted_create_index_concurrently_leaves_an_invalid_index(
    engine: AsyncEngine, migrating: AsyncEngine
) -> None:
    invalid = text("SELECT count(*) FROM pg_index WHERE NOT indisvalid")
    async with engine.connect() as reader, migrating.connect() as connection:
        await reader.execute(text("SELECT 'oolong'"))
        await connection.execute(text("SET lock_timeout = '100ms'"))
        with pytest.raises(DBAPIError, match="canceling statement due to lock timeout"):
            await connection.execute(text("CREATE INDEX CONCURRENTLY ON orders (drink)"))
        assert await connection.scalar(invalid) == 1


async def test_one_that_did_not_get_the_table_s_lock_leaves_no_index(
    engine: AsyncEngine, migrating: AsyncEngine
) -> None:
    indexes = text("SELECT count(*) FROM pg_index WHERE indrelid = 'orders'::regclass")
    async with engine.connect() as other, migrating.connect() as connection:
        await other.execute(text("LOCK TABLE orders IN SHARE UPDATE EXCLUSIVE MODE"))
        await connection.execute(text("SET lock_timeout = '100ms'"))
        with pytest.raises(DBAPIError, match="canceling statement due to lock timeout"):
            await connection.execute(text("CREATE INDEX CONCURRENTLY ON orders (drink)"))
        assert await connection.scalar(indexes) == 0


async def test_vacuum_does_not_wait_and_keeps_what_an_open_transaction_may_see(
    engine: AsyncEngine, migrating: AsyncEngine
) -> None:
    pages = text("SELECT pg_relation_size('orders') > 0")
    async with migrating.connect() as connection:
        async with engine.connect() as reader:
            await reader.execute(text("SELECT 'oolong'"))
            await connection.execute(text("DELETE FROM orders"))
            await asyncio.wait_for(connection.execute(text("VACUUM orders")), 30)
            assert await connection.scalar(pages)
        await connection.execute(text("VACUUM orders"))
        assert not await connection.scalar(pages)


EVERY_ROW_IS_GONE = text("SELECT pg_relation_size('orders') = 0")


async def left_by_vacuum(migrating: AsyncEngine) -> bool:
    """Whether VACUUM leaves rows in the table after all of them were deleted."""
    async with migrating.connect() as connection:
        await connection.execute(text("DELETE FROM orders"))
        await connection.execute(text("VACUUM orders"))
        return not await connection.scalar(EVERY_ROW_IS_GONE)


@pytest.mark.parametrize(
    ("driver", "level", "statements", "kept"),
    [
        ("asyncpg", "READ COMMITTED", ["SELECT name FROM guests"], True),
        ("asyncpg", "READ COMMITTED", ["SELECT name FROM guests", "SAVEPOINT tea"], False),
        ("psycopg", "READ COMMITTED", ["SELECT name FROM guests"], False),
        ("psycopg", "READ COMMITTED", ["SELECT name FROM guests WHERE name = :name"], True),
        ("asyncpg", "READ COMMITTED", ["UPDATE guests SET name = 'Wei'"], True),
        ("psycopg", "READ COMMITTED", ["UPDATE guests SET name = 'Wei'"], True),
        ("psycopg", "READ COMMITTED", ["SELECT name FROM guests FOR UPDATE"], True),
        ("asyncpg", "REPEATABLE READ", ["SELECT name FROM guests", "SAVEPOINT tea"], True),
        ("psycopg", "REPEATABLE READ", ["SELECT name FROM guests", "SAVEPOINT tea"], True),
    ],
)
async def test_vacuum_keeps_dead_rows_while_a_transaction_holds_xmin_or_xid(
    database_url: str,
    make_engine: MakeEngine,
    migrating: AsyncEngine,
    driver: str,
    level: str,
    statements: list[str],
    kept: bool,
) -> None:
    engine = engine_for(make_engine, database_url, driver, isolation_level=level)
    async with engine.connect() as guest:
        for statement in statements:
            await guest.execute(text(statement), {"name": "Lin"} if ":name" in statement else {})
        assert await left_by_vacuum(migrating) is kept
    assert not await left_by_vacuum(migrating)


async def test_the_file_of_a_table_that_was_read_does_not_shrink_without_a_snapshot_too(
    database_url: str, make_engine: MakeEngine, migrating: AsyncEngine
) -> None:
    engine = engine_for(make_engine, database_url, "psycopg")
    async with engine.connect() as reader:
        await reader.execute(text("SELECT drink FROM orders"))
        assert await left_by_vacuum(migrating)
        async with migrating.connect() as connection:
            reuses = text("INSERT INTO orders VALUES ('oolong') RETURNING ctid = '(0,1)'")
            assert await connection.scalar(reuses), "the dead row was kept"
    assert not await left_by_vacuum(migrating)


async def test_once_prepared_psycopg_holds_the_snapshot_without_parameters_too(
    database_url: str, make_engine: MakeEngine, migrating: AsyncEngine
) -> None:
    engine = engine_for(make_engine, database_url, "psycopg")
    held = []
    async with engine.connect() as guest, migrating.connect() as watcher:
        pid = await guest.scalar(text("SELECT pg_backend_pid()"))
        xmin = text("SELECT backend_xmin IS NOT NULL FROM pg_stat_activity WHERE pid = :pid")
        await guest.commit()
        for _ in range(6):
            await guest.execute(text("SELECT name FROM guests"))
            held.append(await watcher.scalar(xmin, {"pid": pid}))
            await guest.commit()
    assert held == [False] * 5 + [True]


@pytest.mark.parametrize(
    "lock",
    [
        "UPDATE guests SET name = 'Wei'",
        "SELECT FROM guests FOR UPDATE",
        "SELECT FROM guests FOR NO KEY UPDATE",
        "SELECT FROM guests FOR SHARE",
    ],
)
async def test_an_update_waits_for_who_changed_or_locked_the_row(
    engine: AsyncEngine, migrating: AsyncEngine, lock: str
) -> None:
    async with engine.connect() as guest, migrating.connect() as connection:
        await guest.execute(text(lock))
        await connection.execute(text("SET lock_timeout = '100ms'"))
        with pytest.raises(DBAPIError, match="canceling statement due to lock timeout"):
            await connection.execute(text("UPDATE guests SET name = 'Lin'"))


async def test_an_update_does_not_wait_for_who_refers_to_the_row_by_a_foreign_key(
    engine: AsyncEngine, migrating: AsyncEngine
) -> None:
    async with engine.connect() as guest, migrating.connect() as connection:
        await connection.execute(text("ALTER TABLE guests ADD id int DEFAULT 1 UNIQUE"))
        await connection.execute(text("CREATE TABLE tabs (guest int REFERENCES guests (id))"))
        await guest.execute(text("INSERT INTO tabs VALUES (1)"))
        await connection.execute(text("SET lock_timeout = '100ms'"))
        updated = await connection.execute(text("UPDATE guests SET name = 'Wei'"))
    assert updated.rowcount == 1


async def test_a_write_keeps_what_is_deleted_after_it_not_what_was_deleted_before(
    engine: AsyncEngine, migrating: AsyncEngine
) -> None:
    async with migrating.connect() as connection, engine.connect() as guest:
        await connection.execute(text("DELETE FROM orders"))
        await guest.execute(text("UPDATE guests SET name = 'Wei'"))
        await connection.execute(text("VACUUM orders"))
        assert await connection.scalar(EVERY_ROW_IS_GONE)
        await connection.execute(text("INSERT INTO orders VALUES ('oolong')"))
        assert await left_by_vacuum(migrating)


async def test_a_transaction_in_another_database_does_not_hold_back_vacuum() -> None:
    with EmbeddedPostgres() as server:
        url = make_url(server.url())
        await execute(url, "CREATE DATABASE annex")
        there = create_async_engine(
            url.set(database="annex"), poolclass=NullPool, isolation_level="REPEATABLE READ"
        )
        here = create_async_engine(url, poolclass=NullPool, isolation_level="AUTOCOMMIT")
        async with here.connect() as connection:
            await connection.execute(text("CREATE TABLE orders AS SELECT 'longjing' AS drink"))
        async with there.connect() as reader:
            await reader.execute(text("SELECT 'oolong'"))
            assert not await left_by_vacuum(here)


async def is_unknown(limit: str, engine: AsyncEngine) -> bool:
    """Whether the server is older than 17, and refuses a limit that came with it."""
    async with engine.connect() as connection:
        if int(await connection.scalar(text("SHOW server_version_num")) or 0) >= 170000:
            return False
        with pytest.raises(DBAPIError, match="unrecognized configuration parameter"):
            await connection.execute(text(f"SET {limit} = '1s'"))
        return True


async def end(migrating: AsyncEngine, guest: AsyncConnection, limit: str) -> None:
    """Leave the transaction open until this limit has ended it, and the driver may know."""
    driver = (await guest.get_raw_connection()).driver_connection
    pid = await guest.scalar(text("SELECT pg_backend_pid()"))
    await guest.execute(text(f"SET LOCAL {limit} = '50ms'"))
    async with migrating.connect() as watcher:

        async def has_ended() -> bool:
            there = text("SELECT count(*) FROM pg_stat_activity WHERE pid = :pid")
            noticed = getattr(driver, "is_closed", lambda: True)()
            return noticed and not await watcher.scalar(there, {"pid": pid})

        await eventually("the limit ends the transaction", has_ended)


CODES = {
    "statement_timeout": ("57014", "57014"),
    "lock_timeout": ("55P03", "55P03"),
    "idle_in_transaction_session_timeout": (None, "25P03"),
    "transaction_timeout": (None, "25P04"),
    "transaction_timeout, while a statement runs": ("08003", "25P04"),
}
"""The SQLSTATE that asyncpg and psycopg give when each limit is reached."""


def code_of(error: DBAPIError) -> str | None:
    return getattr(error.orig, "sqlstate", None)


def code_for(limit: str, driver: str) -> str | None:
    return CODES[limit][driver == "psycopg"]


@pytest.mark.parametrize("language", LANGUAGES)
def test_the_page_has_the_codes_that_the_drivers_give(language: str) -> None:
    page = (DOCS / language / "troubleshooting" / "blocking.md").read_text("utf-8")
    section = page.split("{#limits}")[1].split("\n## ")[0]
    told = [
        tuple(next(iter(re.findall(r"`(\w{5})`", cell)), None) for cell in row[1:])
        for line in section.splitlines()
        if len(row := line.strip("| ").split(" | ")) == 3 and "`" in line
    ]
    statement, lock, idle, transaction, running = CODES.values()
    assert told == [statement, lock, idle, idle, idle, transaction, running]


ENDED = {
    ("asyncpg", "execute"): "InterfaceError connection is closed",
    ("asyncpg", "commit"): (
        "InterfaceError cannot call Transaction.commit(): the underlying connection is closed"
    ),
    ("asyncpg", "leave"): (
        "InterfaceError cannot call Transaction.rollback(): the underlying connection is closed"
    ),
    ("psycopg", "execute"): "InternalError terminating connection due to {}",
    ("psycopg", "commit"): "InternalError terminating connection due to {}",
    ("psycopg", "leave"): "InternalError terminating connection due to {}",
}


@pytest.mark.parametrize(("driver", "then"), ENDED)
@pytest.mark.parametrize(
    ("limit", "reason"),
    [
        ("idle_in_transaction_session_timeout", "idle-in-transaction timeout"),
        ("transaction_timeout", "transaction timeout"),
    ],
)
async def test_what_the_application_sees_after_the_limit(
    database_url: str,
    make_engine: MakeEngine,
    migrating: AsyncEngine,
    driver: str,
    then: str,
    limit: str,
    reason: str,
) -> None:
    if limit == "transaction_timeout" and await is_unknown(limit, migrating):
        return
    engine = engine_for(make_engine, database_url, driver)

    async def overstay() -> None:
        async with engine.connect() as guest:
            await end(migrating, guest, limit)
            if then == "execute":
                await guest.execute(text("SELECT 'longjing'"))
            elif then == "commit":
                await guest.commit()

    with pytest.raises(DBAPIError) as failure:
        await overstay()
    seen = f"{type(failure.value).__name__} {failure.value.orig}"
    seen = seen.replace("<class 'asyncpg.exceptions._base.InterfaceError'>: ", "")
    assert seen.splitlines()[0] == ENDED[driver, then].format(reason)
    assert code_of(failure.value) == code_for(limit, driver)
    assert failure.value.connection_invalidated
    async with engine.connect() as guest:  # the pool opens another
        assert await guest.scalar(text("SELECT 'longjing'")) == "longjing"


@pytest.mark.parametrize(
    ("driver", "seen"),
    [
        ("asyncpg", "DBAPIError connection was closed in the middle of operation: "),
        ("psycopg", "InternalError "),
    ],
)
async def test_transaction_timeout_also_ends_a_statement_that_runs(
    database_url: str, make_engine: MakeEngine, migrating: AsyncEngine, driver: str, seen: str
) -> None:
    if await is_unknown("transaction_timeout", migrating):
        return
    engine = engine_for(make_engine, database_url, driver)

    async def oversleep() -> None:
        async with engine.connect() as guest:
            await guest.execute(text("SET LOCAL transaction_timeout = '100ms'"))
            await guest.execute(text("SELECT pg_sleep(60)"))

    with pytest.raises(DBAPIError) as failure:
        await oversleep()
    error = f"{type(failure.value).__name__} {failure.value.orig}"
    error = error.replace("<class 'asyncpg.exceptions.ConnectionDoesNotExistError'>: ", "")
    assert error == f"{seen}terminating connection due to transaction timeout"
    assert code_of(failure.value) == code_for("transaction_timeout, while a statement runs", driver)
    assert failure.value.connection_invalidated


@both_drivers
async def test_a_statement_that_takes_too_long_is_known_by_its_sqlstate(
    database_url: str, make_engine: MakeEngine, driver: str
) -> None:
    engine = engine_for(make_engine, database_url, driver)
    async with engine.connect() as guest:
        await guest.execute(text("SET LOCAL statement_timeout = '50ms'"))
        with pytest.raises(DBAPIError) as failure:
            await guest.execute(text("SELECT pg_sleep(60)"))
    assert code_of(failure.value) == code_for("statement_timeout", driver)


@both_drivers
async def test_a_lock_that_is_not_to_be_had_is_known_by_its_sqlstate(
    database_url: str, make_engine: MakeEngine, migrating: AsyncEngine, driver: str
) -> None:
    engine = engine_for(make_engine, database_url, driver)
    async with migrating.connect() as other, engine.connect() as guest:
        await other.execute(text("SELECT pg_advisory_lock(1)"))
        await guest.execute(text("SET LOCAL lock_timeout = '50ms'"))
        with pytest.raises(DBAPIError) as failure:
            await guest.execute(text("SELECT pg_advisory_xact_lock(1)"))
    assert code_of(failure.value) == code_for("lock_timeout", driver)


@pytest.mark.parametrize("language", LANGUAGES)
async def test_the_queries_of_the_page_name_who_is_in_the_way(
    database_url: str, engine: AsyncEngine, migrating: AsyncEngine, language: str
) -> None:
    oldest, indexing = sql_fences("troubleshooting/blocking", language)
    async with engine.connect() as reader, migrating.connect() as watcher:
        pid = await reader.scalar(text("SELECT pg_backend_pid()"))
        await reader.execute(text("SELECT 'oolong'"))
        found = (await watcher.execute(text(oldest))).mappings().all()
        assert pid in [row["pid"] for row in found]

        async def create() -> None:
            async with migrating.connect() as connection:
                await connection.execute(text("CREATE INDEX CONCURRENTLY ON orders (drink)"))

        index = asyncio.create_task(create())
        await waits_for(database_url, pid)
        blocker = (await watcher.execute(text(indexing))).mappings().one()
        assert (blocker["pid"], blocker["state"]) == (pid, "idle in transaction")
        await reader.rollback()
        await index


@pytest.mark.parametrize(("right", "sees"), [("", False), ("GRANT pg_monitor TO guest", True)])
async def test_an_ordinary_role_sees_what_its_own_role_holds(
    make_engine: MakeEngine, right: str, sees: bool
) -> None:
    oldest = sql_fences("troubleshooting/blocking", LANGUAGES[0])[0]
    with EmbeddedPostgres() as server:
        url = make_url(server.url())
        for statement in filter(None, ["CREATE ROLE guest LOGIN PASSWORD 'tea'", right]):
            await execute(url, statement)
        ordinary = make_engine(url.set(username="guest", password="tea"))
        async with make_engine(url).connect() as other, ordinary.connect() as connection:
            pid = await other.scalar(text("SELECT pg_backend_pid()"))
            found = (await connection.execute(text(oldest))).mappings().all()
            assert (pid in [row["pid"] for row in found if row["state"]]) is sees
