"""What the home page says beyond the lines its snippets print."""

import re

import pytest
from sqlalchemy import Row, make_url, text
from sqlalchemy.exc import DBAPIError
from sqlalchemy.exc import TimeoutError as PoolTimeout
from sqlalchemy.ext.asyncio import AsyncConnection, AsyncSession, create_async_engine
from sqlalchemy.pool import NullPool

from tests.asking import end_backend
from tests.pools import MakeEngine, both_drivers, with_psycopg
from tests.prose import sql_fences
from tools.paths import LANGUAGES
from tools.postgres import EmbeddedPostgres
from tools.site.pages import pages

BACKEND = text("SELECT pg_backend_pid()")


def query_of_the_page(language: str) -> str:
    """The query the page gives its reader, as it stands there."""
    [query] = sql_fences("index", language)
    return query


async def others(watcher: AsyncConnection) -> list[Row[tuple[object, ...]]]:
    """What the reader of the page sees when he runs its query."""
    query = query_of_the_page("en").rstrip().rstrip(";")
    return list((await watcher.execute(text(query))).all())


def test_the_query_is_the_same_in_both_languages() -> None:
    assert len({query_of_the_page(language) for language in LANGUAGES}) == 1


async def test_the_query_shows_the_pooled_connection_and_nothing_of_its_own(
    make_engine: MakeEngine, watcher: AsyncConnection
) -> None:
    engine = make_engine(connect_args={"server_settings": {"application_name": "teahouse"}})
    async with AsyncSession(engine) as session:
        await session.execute(text("SELECT 'longjing'"))
    [row] = await others(watcher)
    assert (row.application_name, row.state, row.query) == ("teahouse", "idle", "ROLLBACK;")
    assert row.since.total_seconds() >= 0


async def test_a_commit_leaves_commit_as_the_last_statement(
    make_engine: MakeEngine, watcher: AsyncConnection
) -> None:
    engine = make_engine()
    async with AsyncSession(engine) as session:
        await session.execute(text("SELECT 'longjing'"))
        await session.commit()
    assert [(row.state, row.query) for row in await others(watcher)] == [("idle", "COMMIT;")]


async def test_in_autocommit_the_last_statement_is_your_own(
    make_engine: MakeEngine, watcher: AsyncConnection
) -> None:
    async with AsyncSession(make_engine(isolation_level="AUTOCOMMIT")) as session:
        await session.execute(text("SELECT 'longjing'"))
    assert [(row.state, row.query) for row in await others(watcher)] == [
        ("idle", "SELECT 'longjing'")
    ]


async def test_an_idle_connection_holds_no_transaction_and_no_lock(
    make_engine: MakeEngine, watcher: AsyncConnection
) -> None:
    engine = make_engine()
    async with AsyncSession(engine) as session:
        await session.execute(text("CREATE TABLE orders (id int)"))
        await session.execute(text("LOCK TABLE orders"))
    [row] = await others(watcher)
    locks = text("SELECT count(*) FROM pg_locks WHERE pid = :pid")
    started = text("SELECT xact_start FROM pg_stat_activity WHERE pid = :pid")
    assert await watcher.scalar(locks, {"pid": row.pid}) == 0
    assert await watcher.scalar(started, {"pid": row.pid}) is None


async def test_closing_a_session_keeps_what_was_committed(make_engine: MakeEngine) -> None:
    engine = make_engine()
    async with AsyncSession(engine) as session:
        await session.execute(text("CREATE TABLE orders AS SELECT 1 AS id"))
        await session.commit()
        await session.execute(text("SELECT id FROM orders"))
    async with AsyncSession(engine) as session:
        assert await session.scalar(text("SELECT count(*) FROM orders")) == 1


async def test_an_advisory_lock_stays_on_a_connection_that_is_back_in_the_pool(
    make_engine: MakeEngine, watcher: AsyncConnection
) -> None:
    engine = make_engine()
    async with AsyncSession(engine) as session:
        await session.execute(text("SELECT pg_advisory_lock(7)"))
        await session.commit()
    [row] = await others(watcher)
    kinds = text("SELECT locktype FROM pg_locks WHERE pid = :pid")
    assert (row.state, await watcher.scalar(kinds, {"pid": row.pid})) == ("idle", "advisory")


async def test_the_query_leaves_out_workers_and_walsenders(
    database_url: str, make_engine: MakeEngine
) -> None:
    staged = ("client backend", "walsender", "parallel worker", "autovacuum worker")
    url = make_url(database_url)
    engine = make_engine(url)
    async with engine.begin() as connection:
        await connection.execute(text("CREATE SCHEMA staged"))
        await connection.execute(
            text("""
                CREATE TABLE staged.pg_stat_activity AS
                SELECT current_database() AS datname, 0 AS pid, backend_type,
                       backend_type AS application_name, 'active' AS state,
                       now() AS state_change, '' AS query
                FROM unnest(cast(:kinds AS text[])) AS kind (backend_type)
            """),
            {"kinds": [*staged, None]},
        )
        # Where a path names it, pg_catalog is no longer searched first.
        await connection.execute(
            text(f"ALTER DATABASE {url.database} SET search_path = staged, pg_catalog")
        )
    await engine.dispose()
    async with make_engine(url, poolclass=NullPool).connect() as looking:
        seen = {row.application_name for row in await others(looking)}
    # Of other roles' connections an ordinary role does not learn the kind.
    assert seen == {"client backend", None}


async def test_a_failed_transaction_that_nobody_rolled_back_shows_as_aborted(
    make_engine: MakeEngine, watcher: AsyncConnection
) -> None:
    engine = make_engine()
    async with AsyncSession(engine) as session:
        with pytest.raises(DBAPIError):
            await session.execute(text("SELECT 1 / 0"))
        assert [row.state for row in await others(watcher)] == ["idle in transaction (aborted)"]


async def test_another_roles_rows_have_no_state_until_pg_monitor_is_granted() -> None:
    with EmbeddedPostgres() as server:
        url = make_url(server.url())
        guest = url.set(username="guest", password="tea")
        admin = create_async_engine(url)
        async with admin.begin() as connection:
            await connection.execute(text("CREATE ROLE guest LOGIN PASSWORD 'tea'"))
        async with create_async_engine(guest, poolclass=NullPool).connect() as looking:
            [row] = await others(looking)
            assert (row.state, row.query) == (None, "<insufficient privilege>")
        async with admin.begin() as connection:
            await connection.execute(text("GRANT pg_monitor TO guest"))
        async with create_async_engine(guest, poolclass=NullPool).connect() as looking:
            [row] = await others(looking)
            assert (row.state, row.query) == ("idle", "COMMIT;")
        await admin.dispose()


@both_drivers
async def test_neither_driver_gives_an_application_name(
    database_url: str,
    make_engine: MakeEngine,
    watcher: AsyncConnection,
    driver: str,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.delenv("PGAPPNAME", raising=False)
    url = make_url(database_url).set(drivername=f"postgresql+{driver}")
    async with make_engine(url, poolclass=NullPool).connect() as connection:
        await connection.execute(BACKEND)
        assert [row.application_name for row in await others(watcher)] == [""]


async def test_with_psycopg_the_last_statement_has_no_semicolon(
    database_url: str, make_engine: MakeEngine, watcher: AsyncConnection
) -> None:
    engine = make_engine(with_psycopg(database_url))
    async with AsyncSession(engine) as session:
        await session.execute(BACKEND)
    assert [row.query for row in await others(watcher)] == ["ROLLBACK"]


async def test_recycle_and_pre_ping_close_nothing_before_the_next_checkout(
    make_engine: MakeEngine, watcher: AsyncConnection
) -> None:
    engine = make_engine(pool_recycle=0, pool_pre_ping=True)
    async with AsyncSession(engine) as session:
        pid = await session.scalar(BACKEND)
    assert [row.pid for row in await others(watcher)] == [pid]
    async with AsyncSession(engine) as session:
        assert await session.scalar(BACKEND) != pid


async def test_pre_ping_hides_that_an_idle_connection_was_terminated(
    make_engine: MakeEngine, watcher: AsyncConnection
) -> None:
    engine = make_engine(pool_pre_ping=True)
    async with AsyncSession(engine) as session:
        pid = await session.scalar(BACKEND)
    await end_backend(watcher, pid)
    async with AsyncSession(engine) as session:
        assert await session.scalar(BACKEND) != pid


async def test_terminating_an_idle_connection_fails_its_next_user_only(
    make_engine: MakeEngine, watcher: AsyncConnection
) -> None:
    engine = make_engine()
    async with AsyncSession(engine) as session:
        pid = await session.scalar(BACKEND)
    await end_backend(watcher, pid)

    async with AsyncSession(engine) as session:
        with pytest.raises(DBAPIError) as failure:
            await session.execute(BACKEND)
    assert failure.value.connection_invalidated
    async with AsyncSession(engine) as session:
        assert await session.scalar(BACKEND) != pid


async def test_an_engine_for_each_request_leaves_a_connection_for_each_request(
    make_engine: MakeEngine, watcher: AsyncConnection
) -> None:
    engines = [make_engine() for _ in range(8)]
    for engine in engines:
        async with AsyncSession(engine) as session:
            await session.execute(BACKEND)
    assert [row.state for row in await others(watcher)] == ["idle"] * 8
    for engine in engines:
        await engine.dispose()


async def test_dispose_after_each_session_amounts_to_having_no_pool(
    make_engine: MakeEngine,
) -> None:
    engine = make_engine()
    pids = set()
    for _ in range(3):
        async with AsyncSession(engine) as session:
            pids.add(await session.scalar(BACKEND))
        await engine.dispose()
    assert len(pids) == 3


async def test_null_pool_opens_a_connection_for_each_transaction(make_engine: MakeEngine) -> None:
    engine = make_engine(poolclass=NullPool)
    pids = set()
    async with AsyncSession(engine) as session:
        for _ in range(3):
            pids.add(await session.scalar(BACKEND))
            await session.commit()
    assert len(pids) == 3


async def test_with_null_pool_a_connection_stays_through_its_commits(
    make_engine: MakeEngine,
) -> None:
    pids = set()
    async with make_engine(poolclass=NullPool).connect() as connection:
        for _ in range(3):
            pids.add(await connection.scalar(BACKEND))
            await connection.commit()
    assert len(pids) == 1


async def test_dispose_leaves_a_lent_connection_open(
    make_engine: MakeEngine, watcher: AsyncConnection
) -> None:
    engine = make_engine()
    async with AsyncSession(engine) as idle, AsyncSession(engine) as lent:
        await idle.execute(BACKEND)
        pid = await lent.scalar(BACKEND)
        await idle.close()
        await engine.dispose()
        assert [row.pid for row in await others(watcher)] == [pid]
        await (await lent.connection()).invalidate()


async def test_a_probe_that_borrows_from_a_full_pool_has_to_queue(make_engine: MakeEngine) -> None:
    engine = make_engine(pool_size=1, max_overflow=0, pool_timeout=0.1)
    own = make_engine(poolclass=NullPool)
    async with AsyncSession(engine) as request:
        await request.execute(BACKEND)
        with pytest.raises(PoolTimeout):
            async with engine.connect():
                pass
        async with own.connect() as probe:
            assert await probe.scalar(text("SELECT 'ready'")) == "ready"


@pytest.mark.parametrize("language", LANGUAGES)
def test_the_answer_stands_before_the_first_heading(language: str) -> None:
    [page] = [page for page in pages(language) if page.name == "index.md"]
    answer = page.sections()[0].text
    for word in ("`idle`", "`session.close()`", "`await engine.dispose()`"):
        assert word in answer
    assert not re.search(r"^```", answer, re.MULTILINE)
