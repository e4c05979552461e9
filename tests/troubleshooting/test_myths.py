"""What the page on myths says beyond what its snippets print."""

import asyncio
import re
from contextlib import nullcontext

import pytest
from sqlalchemy import NullPool, StaticPool, event, make_url, text
from sqlalchemy.dialects.sqlite.aiosqlite import dialect
from sqlalchemy.exc import DBAPIError, MissingGreenlet
from sqlalchemy.exc import TimeoutError as PoolTimeout
from sqlalchemy.ext.asyncio import AsyncEngine, AsyncSession
from sqlalchemy.orm import DeclarativeBase, Mapped, mapped_column

from tests.asking import end_backend
from tests.pools import MakeEngine, both_drivers, checked_out, engine_for, record
from tests.waiting import eventually
from tools.paths import DOCS, LANGUAGES

MYTHS = "troubleshooting/myths.md"
OOLONG = text("SELECT 'oolong'")
FAIL = text("SELECT 1 / 0")
PID = text("SELECT pg_backend_pid()")
MINE = text("""
    SELECT count(*) FROM pg_stat_activity
    WHERE datname = current_database() AND application_name = 'teahouse'
""")


def sections(language: str) -> dict[str, str]:
    """The text below each title in quotes, by id."""
    page = (DOCS / language / MYTHS).read_text("utf-8")
    return dict(re.findall(r"^### “[^\n]*” \{#([\w-]+)\}\n(.*?)(?=^##|\Z)", page, re.M | re.S))


def has_a_listing(language: str, link: str) -> bool:
    """Whether the section that a link of the page leads to shows a program."""
    name, _, section = link.partition("#")
    path = (DOCS / language / MYTHS).parent / name
    lines = path.read_text("utf-8").splitlines()
    begin = next((n for n, line in enumerate(lines) if f"{{#{section}}}" in line), len(lines))
    rest = lines[begin + 1 :]
    end = next((n for n, line in enumerate(rest) if line.startswith("## ")), len(rest))
    return any(line.startswith("--8<--") and ".py" in line for line in rest[:end])


@pytest.mark.parametrize("language", LANGUAGES)
def test_each_myth_stands_in_the_table_and_has_a_run(language: str) -> None:
    found = sections(language)
    table = re.findall(
        r"^\|.*\]\(#([\w-]+)\) \|$", (DOCS / language / MYTHS).read_text("utf-8"), re.M
    )
    assert table == list(found)
    assert len(found) >= 24
    for name, body in found.items():
        links = re.findall(r"\]\(((?:\.\./)*[\w/]+\.md#[\w-]+)\)", body)
        own = "--8<--" in body
        assert own or any(has_a_listing(language, link) for link in links), (
            f"{language}: #{name} links to no section with a run"
        )


@pytest.mark.parametrize(("language", "least"), [("en", 120), ("zh", 60)])
def test_what_is_true_comes_first(language: str, least: int) -> None:
    for name, body in sections(language).items():
        assert len(body.strip().split("\n\n")[0]) >= least, name


async def fail_in(session: AsyncSession) -> None:
    with pytest.raises(DBAPIError):
        await session.execute(FAIL)


async def test_rollback_returns_what_an_error_left_lent(make_engine: MakeEngine) -> None:
    engine = make_engine()
    session = AsyncSession(engine)
    await fail_in(session)
    assert checked_out(engine) == 1
    await session.rollback()
    assert checked_out(engine) == 0
    await session.close()


async def test_a_finally_returns_the_connection_if_it_closes(make_engine: MakeEngine) -> None:
    engine = make_engine()
    left = []
    for closes in (False, True):
        session = AsyncSession(engine)
        try:
            await fail_in(session)
        finally:
            if closes:
                await session.close()
            left.append(checked_out(engine))
        await session.close()
    assert left == [1, 0]


@pytest.mark.parametrize("first", [True, False], ids=["rollback, close", "close"])
async def test_close_rolls_back_once_with_or_without_rollback(
    make_engine: MakeEngine, first: bool
) -> None:
    engine = make_engine()
    happened = record(engine, "rollback", "checkin")
    session = AsyncSession(engine)
    await session.execute(OOLONG)
    if first:
        await session.rollback()
    await session.close()
    assert happened == ["rollback", "checkin"]


async def test_a_connection_that_committed_stays_lent(make_engine: MakeEngine) -> None:
    engine = make_engine()
    async with engine.connect() as connection:
        pids = set()
        for _ in range(3):
            pids.add(await connection.scalar(PID))
            await connection.commit()
            assert checked_out(engine) == 1
    assert len(pids) == 1


async def test_a_session_bound_to_a_connection_keeps_it(make_engine: MakeEngine) -> None:
    engine = make_engine()
    async with engine.connect() as connection, AsyncSession(connection) as session:
        await session.execute(OOLONG)
        await session.commit()
        assert checked_out(engine) == 1


@pytest.mark.parametrize("first", [True, False], ids=["rollback, close", "close"])
async def test_a_rollback_of_your_own_is_not_shielded_from_a_cancellation(
    make_engine: MakeEngine, first: bool
) -> None:
    engine = make_engine()
    happened = record(engine, "rollback", "invalidate", "close", "checkin")

    async def fail() -> None:
        async with AsyncSession(engine) as session:
            try:
                await session.execute(FAIL)
            except DBAPIError:
                if first:
                    await session.rollback()
                raise

    task = asyncio.create_task(fail())
    event.listen(engine.sync_engine, "rollback", lambda _: task.cancel())
    with pytest.raises(asyncio.CancelledError):
        await task
    thrown_away = ["rollback", "invalidate", "close", "checkin"]
    assert happened == (thrown_away if first else ["rollback", "checkin"])


async def test_null_pool_does_disconnect(make_engine: MakeEngine) -> None:
    engine = make_engine(poolclass=NullPool)
    happened = record(engine, "connect", "close")
    async with AsyncSession(engine) as session:
        await session.execute(OOLONG)
    assert happened == ["connect", "close"]


async def test_undisturbed_a_session_gets_the_same_connection_again(
    make_engine: MakeEngine,
) -> None:
    async with AsyncSession(make_engine()) as session:
        pids = set()
        for _ in range(3):
            pids.add(await session.scalar(PID))
            await session.commit()
    assert len(pids) == 1


@pytest.mark.parametrize("kind", [AsyncSession, AsyncEngine.connect])
async def test_in_autocommit_other_tasks_wait_until_it_is_closed(
    make_engine: MakeEngine, kind: object
) -> None:
    engine = make_engine(
        isolation_level="AUTOCOMMIT", pool_size=1, max_overflow=0, pool_timeout=0.1
    )
    assert callable(kind)
    async with kind(engine) as holder:
        await holder.execute(OOLONG)
        with pytest.raises(PoolTimeout):
            await engine.connect()
    async with engine.connect():
        assert checked_out(engine) == 1


async def test_in_autocommit_a_session_returns_its_connection_at_the_commit(
    make_engine: MakeEngine,
) -> None:
    engine = make_engine(isolation_level="AUTOCOMMIT")
    async with AsyncSession(engine) as session:
        await session.execute(OOLONG)
        assert checked_out(engine) == 1
        await session.commit()
        assert checked_out(engine) == 0


@both_drivers
async def test_a_commit_after_a_failed_statement_returns_the_connection_and_saves_nothing(
    database_url: str, make_engine: MakeEngine, driver: str
) -> None:
    engine = engine_for(make_engine, database_url, driver)
    async with AsyncSession(engine) as session:
        await session.execute(text("CREATE TABLE orders (drink text)"))
        with pytest.raises(DBAPIError):
            await session.execute(FAIL)
        await session.commit()
        assert checked_out(engine) == 0
        assert await session.scalar(text("SELECT to_regclass('orders') IS NULL"))


async def test_after_a_burst_the_server_keeps_pool_size(
    make_engine: MakeEngine,
) -> None:
    engine = make_engine(
        pool_size=1,
        max_overflow=2,
        connect_args={"server_settings": {"application_name": "teahouse"}},
    )
    watcher = make_engine(poolclass=NullPool)

    async def on_the_server() -> int:
        async with watcher.connect() as connection:
            return int(await connection.scalar(MINE))

    async def one_is_left() -> bool:
        return await on_the_server() == 1

    async with engine.connect(), engine.connect(), engine.connect():
        assert await on_the_server() == 3
    await eventually("the server has one connection left", one_is_left)


async def test_pre_ping_does_find_what_was_cut_while_idle(make_engine: MakeEngine) -> None:
    engine, other = make_engine(pool_pre_ping=True), make_engine()
    async with engine.connect() as connection:
        first = await connection.scalar(PID)
    async with other.connect() as connection:
        await end_backend(connection, first)
    async with engine.connect() as connection:
        assert await connection.scalar(PID) != first


async def test_pool_recycle_leaves_what_is_lent(make_engine: MakeEngine) -> None:
    engine = make_engine(pool_recycle=1)
    happened = record(engine, "connect", "close")
    async with engine.connect() as connection:
        await connection.execute(text("SELECT pg_sleep(2)"))
        await connection.commit()
        await connection.execute(OOLONG)
        assert happened == ["connect"]


@pytest.mark.parametrize("cache_first", [True, False])
async def test_a_cache_asked_in_a_transaction_keeps_others_waiting(
    make_engine: MakeEngine, cache_first: bool
) -> None:
    engine = make_engine(pool_size=1, max_overflow=0, pool_timeout=0.1)
    asked, answered = asyncio.Event(), asyncio.Event()

    async def request() -> None:
        async with AsyncSession(engine) as session:
            if not cache_first:
                await session.execute(OOLONG)
            asked.set()
            await answered.wait()
            await session.execute(OOLONG)

    task = asyncio.create_task(request())
    await asked.wait()
    if cache_first:
        async with engine.connect():
            pass
    else:
        with pytest.raises(PoolTimeout):
            await engine.connect()
    answered.set()
    await task


async def test_the_pool_of_sqlite_shows_rows_that_are_not_committed(
    make_engine: MakeEngine,
) -> None:
    kind = dialect.get_pool_class(make_url("sqlite+aiosqlite://"))
    assert kind is StaticPool
    seen = []
    for settings in ({}, {"poolclass": kind}):
        engine = make_engine(**settings)
        async with engine.begin() as connection:
            await connection.execute(text("DROP TABLE IF EXISTS drinks"))
            await connection.execute(text("CREATE TABLE drinks (name text)"))
        async with AsyncSession(engine) as one, AsyncSession(engine) as two:
            await one.execute(text("INSERT INTO drinks VALUES ('oolong')"))
            seen.append(await two.scalar(text("SELECT count(*) FROM drinks")))
    assert seen == [0, 1]


class Base(DeclarativeBase):
    """Tables of this module."""


class Order(Base):
    """An order of one drink."""

    __tablename__ = "orders"
    id: Mapped[int] = mapped_column(primary_key=True)
    drink: Mapped[str]


@pytest.mark.parametrize("expires", [True, False])
async def test_reading_what_a_commit_expired_leaves_a_connection_out(
    make_engine: MakeEngine, expires: bool
) -> None:
    engine = make_engine()
    async with engine.begin() as connection:
        await connection.run_sync(Base.metadata.create_all)
    async with AsyncSession(engine, expire_on_commit=expires) as session:
        session.add(order := Order(drink="oolong"))
        await session.commit()
        with pytest.raises(MissingGreenlet) if expires else nullcontext():
            assert order.drink == "oolong"
        assert checked_out(engine) == int(expires)
        await session.refresh(order)
        assert checked_out(engine) == 1
