"""What the home page says beyond the lines its snippets print."""

import re

import pytest
from sqlalchemy import Row, text
from sqlalchemy.exc import DBAPIError
from sqlalchemy.ext.asyncio import AsyncConnection, AsyncSession, create_async_engine
from sqlalchemy.pool import NullPool

from tools.pages import pages
from tools.rooms import LANGUAGES

BACKEND = text("SELECT pg_backend_pid()")


def query_of_the_page(language: str) -> str:
    """The query the page gives its reader, as it stands there."""
    [page] = [page for page in pages(language) if page.name == "index.md"]
    [fence] = [fence for fence in page.fences() if fence.language == "sql"]
    return "\n".join(fence.lines)


async def others(watcher: AsyncConnection) -> list[Row[tuple[object, ...]]]:
    """What the reader of the page sees when he runs its query."""
    query = query_of_the_page("en").rstrip().rstrip(";")
    return list((await watcher.execute(text(query))).all())


def test_the_query_is_the_same_in_both_languages() -> None:
    assert len({query_of_the_page(language) for language in LANGUAGES}) == 1


async def test_the_query_shows_the_pooled_connection_and_nothing_of_its_own(
    database_url: str, watcher: AsyncConnection
) -> None:
    engine = create_async_engine(
        database_url, connect_args={"server_settings": {"application_name": "teahouse"}}
    )
    async with AsyncSession(engine) as session:
        await session.execute(text("SELECT 'longjing'"))
    [row] = await others(watcher)
    assert (row.application_name, row.state, row.query) == ("teahouse", "idle", "ROLLBACK;")
    assert row.since.total_seconds() >= 0
    await engine.dispose()


async def test_a_commit_leaves_commit_as_the_last_statement(
    database_url: str, watcher: AsyncConnection
) -> None:
    engine = create_async_engine(database_url)
    async with AsyncSession(engine) as session:
        await session.execute(text("SELECT 'longjing'"))
        await session.commit()
    assert [(row.state, row.query) for row in await others(watcher)] == [("idle", "COMMIT;")]
    await engine.dispose()


async def test_an_idle_connection_holds_no_transaction_and_no_lock(
    database_url: str, watcher: AsyncConnection
) -> None:
    engine = create_async_engine(database_url)
    async with AsyncSession(engine) as session:
        await session.execute(text("CREATE TABLE orders (id int)"))
        await session.execute(text("LOCK TABLE orders"))
    [row] = await others(watcher)
    locks = text("SELECT count(*) FROM pg_locks WHERE pid = :pid")
    started = text("SELECT xact_start FROM pg_stat_activity WHERE pid = :pid")
    assert await watcher.scalar(locks, {"pid": row.pid}) == 0
    assert await watcher.scalar(started, {"pid": row.pid}) is None
    await engine.dispose()


async def test_closing_a_session_keeps_what_was_committed(database_url: str) -> None:
    engine = create_async_engine(database_url)
    async with AsyncSession(engine) as session:
        await session.execute(text("CREATE TABLE orders AS SELECT 1 AS id"))
        await session.commit()
        await session.execute(text("SELECT id FROM orders"))
    async with AsyncSession(engine) as session:
        assert await session.scalar(text("SELECT count(*) FROM orders")) == 1
    await engine.dispose()


async def test_terminating_an_idle_connection_fails_its_next_user_only(
    database_url: str, watcher: AsyncConnection
) -> None:
    engine = create_async_engine(database_url)
    async with AsyncSession(engine) as session:
        pid = await session.scalar(BACKEND)
    await watcher.execute(text("SELECT pg_terminate_backend(:pid, 5000)"), {"pid": pid})

    async with AsyncSession(engine) as session:
        with pytest.raises(DBAPIError) as failure:
            await session.execute(BACKEND)
    assert failure.value.connection_invalidated
    async with AsyncSession(engine) as session:
        assert await session.scalar(BACKEND) != pid
    await engine.dispose()


async def test_an_engine_for_each_request_leaves_a_connection_for_each_request(
    database_url: str, watcher: AsyncConnection
) -> None:
    engines = [create_async_engine(database_url) for _ in range(8)]
    for engine in engines:
        async with AsyncSession(engine) as session:
            await session.execute(BACKEND)
    assert [row.state for row in await others(watcher)] == ["idle"] * 8
    for engine in engines:
        await engine.dispose()


async def test_dispose_after_each_session_amounts_to_having_no_pool(database_url: str) -> None:
    engine = create_async_engine(database_url)
    pids = set()
    for _ in range(3):
        async with AsyncSession(engine) as session:
            pids.add(await session.scalar(BACKEND))
        await engine.dispose()
    assert len(pids) == 3


async def test_null_pool_opens_a_connection_for_every_session(database_url: str) -> None:
    engine = create_async_engine(database_url, poolclass=NullPool)
    pids = set()
    for _ in range(3):
        async with AsyncSession(engine) as session:
            pids.add(await session.scalar(BACKEND))
    assert len(pids) == 3


@pytest.mark.parametrize("language", LANGUAGES)
def test_the_answer_stands_before_the_first_heading(language: str) -> None:
    [page] = [page for page in pages(language) if page.name == "index.md"]
    answer = page.sections()[0].text
    for word in ("`idle`", "`session.close()`", "`await engine.dispose()`"):
        assert word in answer
    assert not re.search(r"^```", answer, re.MULTILINE)
