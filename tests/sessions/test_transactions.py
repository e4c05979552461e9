"""What the page on transactions claims beyond the lines that its snippets print."""

import logging
import re
from contextlib import suppress

import pytest
from sqlalchemy import func, select, text
from sqlalchemy.exc import (
    DBAPIError,
    IntegrityError,
    InvalidRequestError,
    PendingRollbackError,
    SAWarning,
)
from sqlalchemy.ext.asyncio import (
    AsyncEngine,
    AsyncSession,
    async_sessionmaker,
    create_async_engine,
)
from sqlalchemy.orm import DeclarativeBase, Mapped, mapped_column
from sqlalchemy.pool import NullPool

from tests.asking import end_backend
from tests.pools import MakeEngine, checked_out, one_connection
from tools.postgres import EmbeddedPostgres

BACKEND = text("SELECT pg_backend_pid()")
SELECT = text("SELECT 'oolong'")
STATEMENT = re.compile(r"LOG:  (?:statement|execute \w+): (.+)")
CLOSED = "Can't operate on closed transaction inside context manager"


class Base(DeclarativeBase):
    pass


class Order(Base):
    __tablename__ = "orders"
    id: Mapped[int] = mapped_column(primary_key=True)
    drink: Mapped[str] = mapped_column(unique=True)


@pytest.fixture
async def engine(make_engine: MakeEngine) -> AsyncEngine:
    """An engine that lends a single connection, and lets nobody wait for it."""
    engine = one_connection(make_engine)
    async with engine.begin() as connection:
        await connection.run_sync(Base.metadata.create_all)
    return engine


async def saved(engine: AsyncEngine) -> list[str]:
    """The drinks that were committed."""
    async with AsyncSession(engine) as session:
        return list(await session.scalars(select(Order.drink).order_by(Order.id)))


# What is sent, by the server's own account


class Spy:
    """A warm engine, and what its server got from it."""

    def __init__(self, server: EmbeddedPostgres, **options: object) -> None:
        self.server = server
        self.engine = create_async_engine(server.url(), pool_size=1, **options)

    async def __aenter__(self) -> "Spy":
        async with self.engine.connect() as connection:
            await connection.execute(SELECT)
        self.seen = len(self.server.log())
        return self

    async def __aexit__(self, *_: object) -> None:
        await self.engine.dispose()

    def got(self) -> list[str]:
        """The statements since the last look."""
        lines = self.server.log()[self.seen :]
        self.seen += len(lines)
        return [match[1] for line in lines if (match := STATEMENT.search(line))]


async def test_without_sql_the_server_gets_nothing(chatty: EmbeddedPostgres) -> None:
    async with Spy(chatty) as spy:
        async with AsyncSession(spy.engine) as session, session.begin():
            await session.connection()
        async with spy.engine.connect():
            pass
        assert spy.got() == []


async def test_the_ping_of_asyncpg_is_a_transaction_of_its_own(chatty: EmbeddedPostgres) -> None:
    async with Spy(chatty, pool_pre_ping=True) as spy:
        async with AsyncSession(spy.engine) as session, session.begin():
            await session.connection()
        assert spy.got() == ["BEGIN;", "ROLLBACK;"]


async def test_begin_goes_out_before_the_first_sql_and_an_end_once(
    chatty: EmbeddedPostgres,
) -> None:
    async with Spy(chatty) as spy:
        async with AsyncSession(spy.engine) as session:
            await session.execute(SELECT)
        assert spy.got() == ["BEGIN;", "SELECT 'oolong'", "ROLLBACK;"]
        async with AsyncSession(spy.engine) as session:
            await session.execute(SELECT)
            await session.commit()
            await session.rollback()
            await session.commit()
        assert spy.got() == ["BEGIN;", "SELECT 'oolong'", "COMMIT;"]


async def test_the_rollback_is_the_sessions_and_not_the_pools(chatty: EmbeddedPostgres) -> None:
    async with Spy(chatty, pool_reset_on_return=None) as spy:
        async with AsyncSession(spy.engine) as session:
            await session.execute(SELECT)
        assert spy.got() == ["BEGIN;", "SELECT 'oolong'", "ROLLBACK;"]


async def test_a_savepoint_costs_two_statements(chatty: EmbeddedPostgres) -> None:
    async with Spy(chatty) as spy:
        async with AsyncSession(spy.engine) as session, session.begin(), session.begin_nested():
            await session.execute(SELECT)
        assert spy.got() == [
            "BEGIN;",
            "SAVEPOINT sa_savepoint_1",
            "SELECT 'oolong'",
            "RELEASE SAVEPOINT sa_savepoint_1",
            "COMMIT;",
        ]


async def test_autocommit_sends_the_statement_alone_and_is_undone_on_return(
    chatty: EmbeddedPostgres,
) -> None:
    async with Spy(chatty) as spy:
        autocommit = spy.engine.execution_options(isolation_level="AUTOCOMMIT")
        async with AsyncSession(autocommit) as session:
            await session.execute(SELECT)
        assert spy.got() == ["SELECT 'oolong'"]
        async with AsyncSession(spy.engine) as session:
            await session.execute(SELECT)
        assert spy.got() == [
            "BEGIN ISOLATION LEVEL READ COMMITTED;",
            "SELECT 'oolong'",
            "ROLLBACK;",
        ]


async def test_the_pools_log_says_rollback_where_nothing_is_sent(
    chatty: EmbeddedPostgres, caplog: pytest.LogCaptureFixture
) -> None:
    with caplog.at_level(logging.DEBUG, "sqlalchemy.pool"):
        async with Spy(chatty) as spy:
            caplog.clear()
            async with spy.engine.connect():
                pass
            assert any("rollback-on-return" in message for message in caplog.messages)
            assert spy.got() == []


# The missing commit


async def test_neither_a_flush_nor_a_savepoint_is_a_commit(engine: AsyncEngine) -> None:
    async with AsyncSession(engine) as session:
        session.add(Order(drink="longjing"))
        await session.flush()
    async with AsyncSession(engine) as session, session.begin_nested():
        session.add(Order(drink="oolong"))
    assert await saved(engine) == []


# commit() inside begin()


@pytest.mark.parametrize("end", ["commit", "rollback", "close"])
async def test_a_block_whose_transaction_was_ended_takes_no_more(
    engine: AsyncEngine, end: str
) -> None:
    async with AsyncSession(engine) as session, session.begin():
        await session.execute(SELECT)
        await getattr(session, end)()
        with pytest.raises(InvalidRequestError, match=CLOSED):
            session.add(Order(drink="oolong"))
        with pytest.raises(InvalidRequestError, match=CLOSED):
            await session.execute(SELECT)


async def test_commit_as_the_last_line_of_a_block_is_harmless(engine: AsyncEngine) -> None:
    async with AsyncSession(engine) as session, session.begin():
        session.add(Order(drink="longjing"))
        await session.commit()
    assert await saved(engine) == ["longjing"]


# A transaction is already begun


async def test_add_begins_a_transaction_too(engine: AsyncEngine) -> None:
    async with AsyncSession(engine) as session:
        session.add(Order(drink="longjing"))
        with pytest.raises(InvalidRequestError, match="already begun on this Session"):
            await session.begin()


async def test_without_autobegin_sql_needs_a_begin(engine: AsyncEngine) -> None:
    async with async_sessionmaker(engine, autobegin=False)() as session:
        with pytest.raises(InvalidRequestError, match="Autobegin is disabled on this Session"):
            await session.execute(SELECT)
        async with session.begin():
            await session.execute(SELECT)


async def test_a_savepoint_may_follow_whatever_came_before(engine: AsyncEngine) -> None:
    async with AsyncSession(engine) as session:
        await session.execute(SELECT)
        async with session.begin_nested():
            session.add(Order(drink="longjing"))
        await session.commit()
    assert await saved(engine) == ["longjing"]


# Savepoints


async def test_the_server_answers_commit_with_a_rollback_and_nobody_complains(
    chatty: EmbeddedPostgres,
) -> None:
    async with Spy(chatty) as spy:
        async with AsyncSession(spy.engine) as session, session.begin():
            await session.execute(text("CREATE TABLE orders (drink text)"))
            with suppress(DBAPIError):
                await session.execute(text("SELECT 1 / 0"))
        assert spy.got()[-1] == "COMMIT;"
        async with AsyncSession(spy.engine) as session:
            assert await session.scalar(text("SELECT to_regclass('orders') IS NULL"))


async def test_a_failed_flush_that_is_caught_ends_its_block_in_silence_too(
    engine: AsyncEngine,
) -> None:
    async with AsyncSession(engine) as session, session.begin():
        session.add(Order(drink="longjing"))
        await session.flush()
        session.add(Order(drink="longjing"))
        with suppress(IntegrityError):
            await session.flush()
    assert await saved(engine) == []


async def test_what_the_driver_refuses_aborts_nothing_and_the_rest_is_saved(
    engine: AsyncEngine,
) -> None:
    add = text("INSERT INTO orders (drink) VALUES (:drink)")
    async with AsyncSession(engine) as session, session.begin():
        await session.execute(add, {"drink": "longjing"})
        with pytest.raises(DBAPIError, match=r"invalid input for query argument \$1"):
            await session.execute(add, {"drink": 1})
    assert await saved(engine) == ["longjing"]


async def test_a_savepoint_takes_no_second_connection(engine: AsyncEngine) -> None:
    async with AsyncSession(engine) as session, session.begin():
        pid = await session.scalar(BACKEND)
        async with session.begin_nested():
            assert await session.scalar(BACKEND) == pid
            assert checked_out(engine) == 1


async def test_commit_inside_a_savepoint_commits_everything(engine: AsyncEngine) -> None:
    async with AsyncSession(engine) as session:
        session.add(Order(drink="longjing"))
        async with session.begin_nested():
            session.add(Order(drink="oolong"))
            await session.commit()
    assert await saved(engine) == ["longjing", "oolong"]


# Isolation levels


async def test_a_level_costs_no_round_trip_and_ends_with_its_transaction(
    chatty: EmbeddedPostgres,
) -> None:
    level = {"isolation_level": "SERIALIZABLE"}
    async with Spy(chatty) as spy:
        async with AsyncSession(spy.engine) as session:
            await session.connection(execution_options=level)
            await session.execute(SELECT)
            await session.commit()
        assert spy.got() == ["BEGIN ISOLATION LEVEL SERIALIZABLE;", "SELECT 'oolong'", "COMMIT;"]
        async with AsyncSession(spy.engine) as session:
            assert await session.scalar(text("SHOW transaction_isolation")) == "read committed"


async def test_a_level_set_after_the_first_sql_is_ignored_with_a_warning(
    engine: AsyncEngine,
) -> None:
    level = {"isolation_level": "SERIALIZABLE"}
    said = "Connection is already established for the given bind; execution_options ignored"
    async with AsyncSession(engine) as session:
        await session.execute(SELECT)
        with pytest.warns(SAWarning, match=said):
            await session.connection(execution_options=level)
        assert await session.scalar(text("SHOW transaction_isolation")) == "read committed"
        await session.commit()
        await session.connection(execution_options=level)
        assert await session.scalar(text("SHOW transaction_isolation")) == "serializable"


async def test_repeatable_read_refuses_to_change_a_row_that_was_changed(
    make_engine: MakeEngine, engine: AsyncEngine
) -> None:
    async with AsyncSession(engine) as session:
        session.add(Order(drink="longjing"))
        await session.commit()
    level = {"isolation_level": "REPEATABLE READ"}
    update = text("UPDATE orders SET drink = drink || '!'")
    others = make_engine()
    async with AsyncSession(others) as late, AsyncSession(others) as early:
        await late.connection(execution_options=level)
        await late.execute(text("SELECT FROM orders"))
        await early.execute(update)
        await early.commit()
        with pytest.raises(DBAPIError, match="could not serialize access due to") as caught:
            await late.execute(update)
        assert getattr(caught.value.orig, "sqlstate", None) == "40001"


async def test_serializable_beside_read_committed_refuses_nobody(
    make_engine: MakeEngine, engine: AsyncEngine
) -> None:
    others = make_engine()
    async with AsyncSession(others) as strict, AsyncSession(others) as lax:
        await strict.connection(execution_options={"isolation_level": "SERIALIZABLE"})
        for session in (strict, lax):
            assert await session.scalar(select(func.count()).select_from(Order)) == 0
        for session, drink in ((strict, "longjing"), (lax, "oolong")):
            session.add(Order(drink=drink))
            await session.commit()
    await others.dispose()
    assert await saved(engine) == ["longjing", "oolong"]


async def test_a_savepoint_does_not_help_against_a_serialization_failure(
    make_engine: MakeEngine, engine: AsyncEngine
) -> None:
    async with AsyncSession(engine) as session:
        session.add(Order(drink="longjing"))
        await session.commit()
    update = text("UPDATE orders SET drink = drink || '!'")
    others = make_engine()
    async with AsyncSession(others) as late, AsyncSession(others) as early:
        await late.connection(execution_options={"isolation_level": "SERIALIZABLE"})
        await late.execute(text("SELECT FROM orders"))
        await early.execute(update)
        await early.commit()
        for _ in range(2):
            step = await late.begin_nested()
            with pytest.raises(DBAPIError, match="could not serialize access"):
                await late.execute(update)
            await step.rollback()


# After an error


@pytest.mark.parametrize("statement", ["SELECT 1 / 0", "SELECT 'oolong' FROM nowhere"])
async def test_catching_an_error_gives_no_connection_back(
    engine: AsyncEngine, statement: str
) -> None:
    async with AsyncSession(engine) as session:
        with suppress(DBAPIError):
            await session.execute(text(statement))
        assert checked_out(engine) == 1
    assert checked_out(engine) == 0


async def test_a_failed_statement_aborts_the_transaction_until_rollback(
    engine: AsyncEngine,
) -> None:
    async with AsyncSession(engine) as session:
        with pytest.raises(DBAPIError, match="division by zero"):
            await session.execute(text("SELECT 1 / 0"))
        with pytest.raises(
            DBAPIError,
            match="current transaction is aborted, commands ignored until end of transaction block",
        ):
            await session.execute(SELECT)
        assert checked_out(engine) == 1
        await session.rollback()
        assert checked_out(engine) == 0
        await session.execute(SELECT)


async def test_a_broken_connection_asks_for_a_rollback_and_frees_its_place(
    engine: AsyncEngine, make_engine: MakeEngine
) -> None:
    watcher = make_engine(poolclass=NullPool)
    async with AsyncSession(engine) as session:
        pid = await session.scalar(BACKEND)
        async with watcher.connect() as connection:
            await end_backend(connection, pid)
        with pytest.raises(DBAPIError):
            await session.execute(SELECT)
        with pytest.raises(
            PendingRollbackError, match="Can't reconnect until invalid transaction is rolled back"
        ):
            await session.execute(SELECT)
        assert checked_out(engine) == 0
        await session.rollback()
        assert await session.scalar(BACKEND) != pid


async def test_a_commit_that_the_server_refused_holds_the_connection_until_rollback(
    engine: AsyncEngine, make_engine: MakeEngine
) -> None:
    watcher = make_engine(poolclass=NullPool)
    state = text("SELECT state FROM pg_stat_activity WHERE pid = :pid")
    async with engine.begin() as connection:
        await connection.execute(
            text("ALTER TABLE orders ADD UNIQUE (drink) DEFERRABLE INITIALLY DEFERRED")
        )
        await connection.execute(text("ALTER TABLE orders DROP CONSTRAINT orders_drink_key"))
    async with AsyncSession(engine) as session:
        pid = await session.scalar(BACKEND)
        session.add_all([Order(drink="longjing"), Order(drink="longjing")])
        with pytest.raises(IntegrityError):
            await session.commit()
        async with watcher.connect() as connection:
            assert await connection.scalar(state, {"pid": pid}) == "idle"
        assert checked_out(engine) == 1
        with pytest.raises(InvalidRequestError, match="This session is in 'prepared' state; no"):
            await session.execute(SELECT)
        await session.rollback()
        assert checked_out(engine) == 0
        await session.execute(SELECT)


async def test_a_serialization_failure_at_commit_leaves_the_session_prepared(
    make_engine: MakeEngine, engine: AsyncEngine
) -> None:
    others = make_engine()
    async with AsyncSession(others) as first, AsyncSession(others) as second:
        for session, drink in ((first, "longjing"), (second, "oolong")):
            await session.connection(execution_options={"isolation_level": "SERIALIZABLE"})
            assert await session.scalar(select(func.count()).select_from(Order)) == 0
            session.add(Order(drink=drink))
        await first.flush()
        await second.flush()
        await first.commit()
        with pytest.raises(DBAPIError, match="could not serialize access"):
            await second.commit()
        with pytest.raises(InvalidRequestError, match="This session is in 'prepared' state"):
            await second.execute(SELECT)


async def test_after_a_rollback_the_added_are_gone_and_may_be_added_again(
    engine: AsyncEngine,
) -> None:
    async with AsyncSession(engine) as session:
        session.add(Order(drink="longjing"))
        await session.commit()
        first, again = Order(drink="oolong"), Order(drink="longjing")
        session.add_all([first, again])
        with pytest.raises(IntegrityError):
            await session.commit()
        await session.rollback()
        assert first not in session
        session.add(first)
        await session.commit()
    assert await saved(engine) == ["longjing", "oolong"]


# AUTOCOMMIT


async def test_autocommit_refuses_savepoints(engine: AsyncEngine) -> None:
    async with AsyncSession(engine.execution_options(isolation_level="AUTOCOMMIT")) as session:
        await session.begin_nested()
        with pytest.raises(DBAPIError, match="SAVEPOINT can only be used in transaction blocks"):
            await session.execute(SELECT)


async def test_an_engine_with_options_shares_the_pool(engine: AsyncEngine) -> None:
    autocommit = engine.execution_options(isolation_level="AUTOCOMMIT")
    assert autocommit.pool is engine.pool
    async with AsyncSession(engine) as session:
        pid = await session.scalar(BACKEND)
    async with AsyncSession(autocommit) as session:
        assert await session.scalar(BACKEND) == pid


async def test_vacuum_runs_in_autocommit_only(engine: AsyncEngine) -> None:
    vacuum = text("VACUUM orders")
    async with AsyncSession(engine) as session:
        with pytest.raises(DBAPIError, match="VACUUM cannot run inside a transaction block"):
            await session.execute(vacuum)
    async with AsyncSession(engine.execution_options(isolation_level="AUTOCOMMIT")) as session:
        await session.execute(vacuum)


async def test_commit_as_sql_leaves_the_rest_beyond_the_reach_of_rollback(
    engine: AsyncEngine,
) -> None:
    async with AsyncSession(engine) as session:
        session.add(Order(drink="longjing"))
        await session.flush()
        await session.execute(text("COMMIT"))
        session.add(Order(drink="oolong"))
        await session.flush()
        await session.rollback()
    async with AsyncSession(engine) as session:
        assert await session.scalar(select(func.count(Order.id))) == 2


async def test_after_commit_as_sql_asyncpg_has_no_transaction_for_a_savepoint(
    engine: AsyncEngine,
) -> None:
    async with AsyncSession(engine) as session:
        await session.execute(text("COMMIT"))
        with pytest.raises(DBAPIError, match="SAVEPOINT can only be used in transaction blocks"):
            async with session.begin_nested():
                await session.execute(SELECT)
