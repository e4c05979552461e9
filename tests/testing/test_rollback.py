"""What the page on rolled-back tests says beyond what its listings show."""

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable
from typing import Annotated

import asyncpg  # type: ignore[import-untyped]
import pytest
from fastapi import BackgroundTasks, Depends, FastAPI
from sqlalchemy import ForeignKey, event, select, text
from sqlalchemy.exc import (
    DBAPIError,
    InvalidRequestError,
    MissingGreenlet,
    PendingRollbackError,
    SAWarning,
)
from sqlalchemy.ext.asyncio import (
    AsyncConnection,
    AsyncEngine,
    AsyncSession,
    async_sessionmaker,
)
from sqlalchemy.orm import DeclarativeBase, Mapped, mapped_column, relationship

import snippets.testing.rollback.costs as costs
from tests.pools import MakeEngine, both_drivers, engine_for, with_psycopg
from tests.serving import through
from tools.postgres import Server, dsn_of, leftovers

INSERT = text("INSERT INTO orders VALUES ('longjing')")
COUNT = text("SELECT count(*) FROM orders")


@pytest.fixture
async def engine(make_engine: MakeEngine) -> AsyncEngine:
    engine = make_engine()
    async with engine.begin() as connection:
        await connection.execute(text("CREATE TABLE orders (tea text)"))
    return engine


@pytest.fixture
async def connection(engine: AsyncEngine) -> AsyncIterator[AsyncConnection]:
    """A connection in the outer transaction of a test."""
    async with engine.connect() as connection:
        await connection.begin()
        yield connection


def joined(connection: AsyncConnection) -> AsyncSession:
    """A session as the page has it."""
    return AsyncSession(connection, join_transaction_mode="create_savepoint")


async def left(engine: AsyncEngine) -> int:
    """The rows that another connection sees."""
    async with engine.connect() as other:
        return int(await other.scalar(COUNT) or 0)


async def test_in_the_default_mode_a_commit_after_a_rollback_is_real(
    engine: AsyncEngine,
) -> None:
    async with engine.connect() as connection:
        await connection.begin()
        async with AsyncSession(connection) as session:
            await session.execute(INSERT)
            await session.rollback()
            await session.execute(INSERT)
            await session.commit()
    assert await left(engine) == 1


async def test_in_the_default_mode_a_rollback_after_a_read_ends_the_transaction_of_the_test(
    engine: AsyncEngine,
) -> None:
    async with engine.connect() as connection:
        outer = await connection.begin()
        async with AsyncSession(connection) as session:
            await session.scalar(COUNT)
        assert outer.is_active
        async with AsyncSession(connection) as session:
            await session.scalar(COUNT)
            await session.rollback()
        assert not outer.is_active


async def test_in_a_fixture_with_a_transaction_of_the_session_the_first_commit_is_real(
    engine: AsyncEngine,
) -> None:
    async def test(session: AsyncSession) -> None:
        async with session.begin():
            await session.execute(INSERT)
            await session.commit()
            await session.execute(INSERT)

    async with AsyncSession(engine) as session:
        with pytest.raises(InvalidRequestError, match="Can't operate on closed transaction"):
            await test(session)
        await session.rollback()
    assert await left(engine) == 1
    async with AsyncSession(engine) as session, session.begin():
        await session.execute(INSERT)
    assert await left(engine) == 2, "the end of the block"


async def test_create_savepoint_does_not_help_beside_a_transaction_of_the_session(
    connection: AsyncConnection,
) -> None:
    mode = "create_savepoint"
    async with AsyncSession(connection, join_transaction_mode=mode) as session, session.begin():
        await session.commit()
        with pytest.raises(InvalidRequestError, match="Can't operate on closed transaction"):
            await session.execute(INSERT)


@pytest.mark.filterwarnings("ignore:transaction already deassociated")
async def test_in_the_default_mode_a_rollback_inside_async_with_begin_leaves_a_closed_transaction(
    engine: AsyncEngine,
) -> None:
    async with engine.connect() as connection, connection.begin() as outer:
        async with AsyncSession(connection) as session:
            await session.execute(INSERT)
            await session.rollback()
            with pytest.raises(InvalidRequestError, match="Can't operate on closed transaction"):
                await session.execute(INSERT)
        async with joined(connection) as session:
            with pytest.raises(InvalidRequestError, match="Can't operate on closed transaction"):
                await session.execute(INSERT)
        await outer.rollback()
    async with engine.connect() as connection, connection.begin() as outer:
        async with joined(connection) as session:
            await session.execute(INSERT)
            await session.rollback()
            await session.execute(INSERT)
        await outer.rollback()
    assert await left(engine) == 0


async def test_older_recipes_that_begin_savepoints_by_hand_work_too(engine: AsyncEngine) -> None:
    async with engine.connect() as connection:
        outer = await connection.begin()
        nested = await connection.begin_nested()
        session = AsyncSession(connection)

        @event.listens_for(session.sync_session, "after_transaction_end")
        def begin_anew(*_: object) -> None:
            if not nested.is_active and connection.sync_connection:
                connection.sync_connection.begin_nested()

        await session.execute(INSERT)
        await session.commit()
        await session.execute(INSERT)
        await session.rollback()
        assert await session.scalar(COUNT) == 1
        await session.close()
        await outer.rollback()
    assert await left(engine) == 0


async def test_sessions_one_after_the_other_see_what_was_committed(
    engine: AsyncEngine, connection: AsyncConnection
) -> None:
    async with joined(connection) as first:
        await first.execute(INSERT)
        await first.commit()
    async with joined(connection) as second:
        assert await second.scalar(COUNT) == 1
    await connection.rollback()
    assert await left(engine) == 0


class Base(DeclarativeBase):
    pass


class Guest(Base):
    __tablename__ = "guests"
    id: Mapped[int] = mapped_column(primary_key=True)
    visits: Mapped[list["Visit"]] = relationship()


class Visit(Base):
    __tablename__ = "visits"
    id: Mapped[int] = mapped_column(primary_key=True)
    guest_id: Mapped[int] = mapped_column(ForeignKey("guests.id"))


@pytest.mark.parametrize("way", ["the same", "expired", "expunged", "another"])
async def test_a_session_of_the_test_has_relationships_that_the_code_did_not_load(
    way: str, connection: AsyncConnection
) -> None:
    await connection.run_sync(Base.metadata.create_all)
    sessions = async_sessionmaker(
        connection, join_transaction_mode="create_savepoint", expire_on_commit=way == "expired"
    )
    async with sessions() as session, sessions() as another:
        session.add(held := Guest(visits=[Visit()]))
        await session.commit()
        if way == "expunged":
            session.expunge_all()
        guest = (await (another if way == "another" else session).scalars(select(Guest))).one()
        assert (guest is held) == (way in {"the same", "expired"})
        if way == "the same":
            assert len(guest.visits) == 1
        else:
            with pytest.raises(MissingGreenlet):
                _ = guest.visits


@pytest.mark.parametrize("way", ["SQL", "connection"])
async def test_around_the_session_a_commit_is_real(
    engine: AsyncEngine, connection: AsyncConnection, way: str
) -> None:
    async with joined(connection) as session:
        await session.execute(INSERT)
        if way == "SQL":
            await session.execute(text("COMMIT"))
        else:
            await (await session.connection()).commit()
        assert await left(engine) == 1
        await connection.invalidate()


async def test_with_asyncpg_what_follows_a_rollback_as_sql_is_real(
    engine: AsyncEngine, connection: AsyncConnection
) -> None:
    async with joined(connection) as session:
        await session.execute(text("ROLLBACK"))
        await session.execute(INSERT)
        assert await left(engine) == 1
        await connection.invalidate()


async def test_an_engine_with_autocommit_goes_around_the_transaction_of_the_test(
    engine: AsyncEngine, connection: AsyncConnection
) -> None:
    async with engine.execution_options(isolation_level="AUTOCOMMIT").connect() as other:
        await other.execute(INSERT)
    await connection.rollback()
    assert await left(engine) == 1


@pytest.mark.parametrize("reads", [False, True])
async def test_a_commit_in_a_background_task_is_undone_if_the_endpoint_is_in_a_transaction(
    engine: AsyncEngine, connection: AsyncConnection, reads: bool
) -> None:
    app = FastAPI()
    sessions = async_sessionmaker(connection, join_transaction_mode="create_savepoint")

    async def get_session() -> AsyncIterator[AsyncSession]:
        async with sessions() as session:
            yield session

    async def place_order() -> None:
        async with sessions() as session:
            await session.execute(INSERT)
            await session.commit()

    @app.get("/")
    async def order(
        background: BackgroundTasks, session: Annotated[AsyncSession, Depends(get_session)]
    ) -> None:
        await session.execute(INSERT)
        await session.commit()
        if reads:
            await session.execute(COUNT)
        background.add_task(place_order)

    async with through(app) as client:
        await client.get("/")
    assert await connection.scalar(COUNT) == (1 if reads else 2)
    await connection.rollback()
    assert await left(engine) == 0


@both_drivers
async def test_a_cancelled_query_ends_the_transaction_of_the_test(
    driver: str, make_engine: MakeEngine, database_url: str
) -> None:
    async def hang_up(session: AsyncSession) -> None:
        with pytest.raises(TimeoutError):
            async with asyncio.timeout(0.1):
                await session.execute(text("SELECT pg_sleep(60)"))
        await session.rollback()

    engine = engine_for(make_engine, database_url, driver)
    async with engine.connect() as connection:
        await connection.begin()
        async with joined(connection) as session:
            await session.execute(text("SELECT 1"))
            await hang_up(session)
            with pytest.raises(PendingRollbackError, match="Can't reconnect until invalid"):
                await session.execute(text("SELECT 1"))
    async with AsyncSession(engine) as session:
        await hang_up(session)
        assert await session.scalar(text("SELECT 7")) == 7


async def test_autocommit_is_refused(connection: AsyncConnection) -> None:
    async with joined(connection) as session:
        with pytest.raises(InvalidRequestError, match="isolation_level may not be altered"):
            await session.connection(execution_options={"isolation_level": "AUTOCOMMIT"})


async def test_a_table_made_in_a_test_is_rolled_back(
    engine: AsyncEngine, connection: AsyncConnection
) -> None:
    async with joined(connection) as session:
        await session.execute(text("CREATE TABLE cups (size int)"))
        await session.commit()
    await connection.rollback()
    assert await connection.scalar(text("SELECT to_regclass('cups')")) is None


@pytest.mark.parametrize(
    "statement",
    ["CREATE DATABASE cups", "VACUUM", "CREATE INDEX CONCURRENTLY cup ON orders (tea)"],
)
async def test_some_statements_refuse_a_transaction(
    connection: AsyncConnection, statement: str
) -> None:
    with pytest.raises(DBAPIError, match="cannot run inside a transaction block"):
        await connection.execute(text(statement))


async def test_a_notification_is_sent_at_a_real_commit(
    connection: AsyncConnection, database_url: str
) -> None:
    heard: list[object] = []
    listener = await asyncpg.connect(dsn_of(database_url))
    try:
        await listener.add_listener("orders", lambda *said: heard.append(said[-1]))
        async with joined(connection) as session:
            await session.execute(text("NOTIFY orders, 'in a savepoint'"))
            await session.commit()
        await listener.execute("SELECT 1")
        assert heard == []
        await connection.commit()
        await listener.execute("SELECT 1")
        assert heard == ["in a savepoint"]
    finally:
        await listener.close()


async def test_truncate_waits_for_a_connection_left_in_a_transaction(
    engine: AsyncEngine, connection: AsyncConnection
) -> None:
    await connection.execute(COUNT)
    async with engine.connect() as other:
        await other.execute(text("SET lock_timeout = '200ms'"))
        with pytest.raises(DBAPIError, match="lock timeout"):
            await other.execute(text("TRUNCATE orders"))
    await connection.rollback()
    async with engine.begin() as other:
        await other.execute(text("TRUNCATE orders"))


async def test_with_psycopg_savepoints_of_two_sessions_are_one_stack_too(
    make_engine: MakeEngine, database_url: str
) -> None:
    async with make_engine(with_psycopg(database_url)).connect() as connection:
        await connection.begin()
        first, second = joined(connection), joined(connection)
        await first.execute(text("SELECT 1"))
        await second.execute(text("SELECT 1"))
        with pytest.warns(SAWarning, match="nested transaction already deassociated"):
            await first.commit()
        with pytest.raises(DBAPIError, match="does not exist"):
            await second.commit()


def has_strategies(server: Server) -> bool:
    """Whether CREATE DATABASE knows the word, as it does since PostgreSQL 15."""
    return int(server.version.split(".")[0]) >= 15


async def test_the_script_measures_each_way_and_leaves_nothing(
    database_url: str,
    server: Server,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    monkeypatch.setattr(costs, "URL", database_url)
    await costs.main(times=2)
    said = capsys.readouterr().out.splitlines()
    assert [line.rsplit(maxsplit=1)[0] for line in said[1:]] == [
        "roll_back",
        "delete",
        "truncate",
        "new database",
        *(["template wal_log", "template file_copy"] if has_strategies(server) else ["template"]),
    ]
    assert all(float(line.split()[-1]) > 0 for line in said[1:])
    assert list(await asyncio.to_thread(leftovers, database_url)) == []


@pytest.mark.parametrize("empty", [costs.delete, costs.truncate])
async def test_each_way_of_the_script_empties_all_tables(
    empty: Callable[[AsyncConnection], Awaitable[None]],
    make_engine: MakeEngine,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    tables = ["orders_a", "orders_b", "orders_c"]
    monkeypatch.setattr(costs, "TABLES", tables)
    async with make_engine().connect() as connection:
        for table in tables:
            columns = "id int GENERATED ALWAYS AS IDENTITY, tea text"
            await connection.execute(text(f"CREATE TABLE {table} ({columns})"))
        await costs.fill(connection)
        await empty(connection)
        for table in tables:
            assert await connection.scalar(text(f"SELECT count(*) FROM {table}")) == 0
