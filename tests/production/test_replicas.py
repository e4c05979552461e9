"""Read replicas: what the page says beyond its snippets, with a real standby."""

import asyncio
import inspect
import re
from collections.abc import Awaitable, Callable, Iterator
from typing import Any

import pytest
from sqlalchemy import Delete, Engine, Select, Update, func, insert, select, text
from sqlalchemy.exc import DBAPIError
from sqlalchemy.ext.asyncio import AsyncSession
from sqlalchemy.orm import DeclarativeBase, Mapped, Session, mapped_column
from sqlalchemy.pool import NullPool

from tests.asking import ask, backends, end_backend
from tests.pools import MakeEngine, both_drivers, checked_out, engine_for, record_queries
from tests.versions import IS_2_0
from tests.waiting import eventually
from tools.paths import DOCS, LANGUAGES
from tools.postgres import EmbeddedPostgres, Standby

Pair = tuple[EmbeddedPostgres, Standby]
Conflict = Callable[[Pair], Awaitable[None]]


class Base(DeclarativeBase):
    pass


class Order(Base):
    __tablename__ = "orders"
    id: Mapped[int] = mapped_column(primary_key=True)


@pytest.fixture(scope="module")
def pair() -> Iterator[Pair]:
    """A primary, and a standby that gives way to it at once."""
    with EmbeddedPostgres() as primary, Standby(primary, max_standby_streaming_delay="0") as other:
        asyncio.run(ask(primary.url(), "CREATE TABLE orders (id serial PRIMARY KEY)"))
        asyncio.run(caught_up((primary, other)))
        yield primary, other


async def caught_up(pair: Pair) -> None:
    """The standby has replayed all that was written so far."""
    lsn = await ask(pair[0].url(), "SELECT CAST(pg_current_wal_insert_lsn() AS text)")
    replayed = f"SELECT pg_last_wal_replay_lsn() >= '{lsn}'"
    await eventually("the standby has caught up", lambda: ask(pair[1].url(), replayed))


def sticky(primary: Engine, replica: Engine) -> type[Session]:
    """The page's session, for two engines of a test."""

    class Sticky(Session):
        def get_bind(self, mapper: Any = None, **given: Any) -> Engine:
            if not isinstance(given.get("clause"), Select):
                self.info["wrote"] = True
            return primary if self.info.get("wrote") else replica

    return Sticky


async def test_a_committed_row_is_not_on_the_replica_until_it_is_replayed(pair: Pair) -> None:
    primary, standby = pair
    await caught_up(pair)
    before = await ask(standby.url(), "SELECT count(*) FROM orders")
    await ask(standby.url(), "SELECT pg_wal_replay_pause()")
    paused = "SELECT pg_get_wal_replay_pause_state() = 'paused'"
    await eventually("the standby pauses", lambda: ask(standby.url(), paused))
    await ask(primary.url(), "INSERT INTO orders DEFAULT VALUES")
    lsn = await ask(primary.url(), "SELECT CAST(pg_current_wal_insert_lsn() AS text)")
    replayed = f"SELECT pg_last_wal_replay_lsn() >= '{lsn}'"
    assert await ask(standby.url(), "SELECT count(*) FROM orders") == before
    assert await ask(standby.url(), replayed) is False
    await ask(standby.url(), "SELECT pg_wal_replay_resume()")
    await eventually("the row's place is reached", lambda: ask(standby.url(), replayed))
    assert await ask(standby.url(), "SELECT count(*) FROM orders") == before + 1


ASKED = re.compile(r"`(SELECT [^`]*pg_last_wal_replay_lsn[^`]*)`")
GIVEN = re.compile(r"`(SELECT [^`]*pg_current_wal_insert_lsn[^`]*)`")


@both_drivers
@pytest.mark.parametrize("language", LANGUAGES)
async def test_what_the_page_asks_is_answered_to_both_drivers_by_both_servers(
    pair: Pair, make_engine: MakeEngine, driver: str, language: str
) -> None:
    page = (DOCS / language / "production/replicas.md").read_text("utf-8")
    (given,), (asked,) = GIVEN.findall(page), ASKED.findall(page)
    await ask(pair[0].url(), "INSERT INTO orders DEFAULT VALUES")
    await caught_up(pair)
    primary, standby = (engine_for(make_engine, server.url(), driver) for server in pair)
    async with primary.connect() as connection:
        position = await connection.scalar(text(given))
        assert isinstance(position, str)
        assert await connection.scalar(text(asked), {"position": position}) is True
    async with standby.connect() as connection:
        assert await connection.scalar(text(asked), {"position": "0/1"}) is True
        assert await connection.scalar(text(asked), {"position": "FFFF/0"}) is False


@pytest.mark.parametrize(
    ("driver", "pre_ping", "answered"),
    [
        ("asyncpg", False, [True, False, False, False]),
        ("asyncpg", True, [True, False, False, not IS_2_0]),
        ("psycopg", False, [True, False, True, True]),
    ],
)
async def test_a_begin_that_a_replica_refuses_spoils_the_connection_of_asyncpg(
    pair: Pair, make_engine: MakeEngine, driver: str, pre_ping: bool, answered: list[bool]
) -> None:
    url = pair[1].url()
    engine = engine_for(make_engine, url, driver, pool_size=1, pool_pre_ping=pre_ping)
    found, said = [], ""
    for level in ("READ COMMITTED", "SERIALIZABLE", "READ COMMITTED", "READ COMMITTED"):
        try:
            async with engine.connect() as connection:
                await connection.execution_options(isolation_level=level)
                found.append(await connection.scalar(text("SELECT true")))
        except DBAPIError as error:
            found.append(False)
            said += str(error)
    assert found == answered
    assert "cannot use serializable mode in a hot standby" in said
    later = "SAVEPOINT can only be used in transaction blocks"
    if IS_2_0 or not pre_ping:
        later = "nested transaction has a different isolation level"
    assert (later in said) == (driver == "asyncpg")
    await engine.dispose()
    async with engine.connect() as connection:
        await connection.execution_options(isolation_level="REPEATABLE READ")
        assert await connection.scalar(text("SELECT true"))


async def test_the_position_at_the_start_of_a_wal_file_is_reached_with_the_next_write(
    pair: Pair,
) -> None:
    primary, standby = pair
    commit = "SET synchronous_commit TO on", "INSERT INTO orders DEFAULT VALUES"
    await ask(primary.url(), *commit, "SELECT pg_switch_wal()")
    named, written = [
        await ask(primary.url(), f"SELECT CAST(pg_current_wal_{which}_lsn() AS text)")
        for which in ("insert", "flush")
    ]
    replayed = "SELECT pg_last_wal_replay_lsn() >= '{}'"
    await eventually("all is replayed", lambda: ask(standby.url(), replayed.format(written)))
    assert await ask(standby.url(), replayed.format(named)) is False
    await ask(primary.url(), "INSERT INTO orders DEFAULT VALUES")
    await eventually("it is reached", lambda: ask(standby.url(), replayed.format(named)))


async def test_a_promoted_replica_still_names_a_position_and_it_stands_still() -> None:
    replayed = "SELECT CAST(pg_last_wal_replay_lsn() AS text)"
    with EmbeddedPostgres() as primary, Standby(primary) as standby:
        standby.promote()
        before = await ask(standby.url(), replayed)
        assert await ask(standby.url(), "CREATE TABLE teas (id int)", replayed) == before
        assert before is not None
        assert await ask(standby.url(), "SELECT pg_is_in_recovery()") is False


async def remove_what_is_being_read(pair: Pair) -> None:
    await ask(pair[0].url(), "DELETE FROM orders")
    await ask(pair[0].url(), "VACUUM orders")
    await ask(pair[0].url(), "INSERT INTO orders DEFAULT VALUES")


async def lock_what_is_being_read(pair: Pair) -> None:
    await ask(pair[0].url(), "TRUNCATE orders")
    await ask(pair[0].url(), "INSERT INTO orders DEFAULT VALUES")


@pytest.mark.parametrize("stand_against", [remove_what_is_being_read, lock_what_is_being_read])
async def test_a_query_on_a_replica_is_cancelled_when_it_stands_in_the_way_of_replay(
    pair: Pair, make_engine: MakeEngine, stand_against: Conflict
) -> None:
    await ask(pair[0].url(), "INSERT INTO orders DEFAULT VALUES")
    await caught_up(pair)
    engine = make_engine(pair[1].url())
    async with engine.connect() as connection:
        reading = asyncio.create_task(
            connection.execute(text("SELECT id, pg_sleep(600) FROM orders"))
        )
        asleep = "SELECT count(*) = 1 FROM pg_stat_activity WHERE wait_event = 'PgSleep'"
        await eventually("the query runs", lambda: ask(pair[1].url(), asleep))
        await stand_against(pair)
        with pytest.raises(
            DBAPIError, match="canceling statement due to conflict with recovery"
        ) as caught:
            await reading
        assert getattr(caught.value.orig, "sqlstate", None) == "40001"
        assert not caught.value.connection_invalidated


async def test_in_a_savepoint_such_a_query_loses_its_connection(
    pair: Pair, make_engine: MakeEngine
) -> None:
    await ask(pair[0].url(), "INSERT INTO orders DEFAULT VALUES")
    await caught_up(pair)
    engine = make_engine(pair[1].url())
    async with engine.connect() as connection:
        await connection.begin_nested()
        reading = asyncio.create_task(
            connection.execute(text("SELECT id, pg_sleep(600) FROM orders"))
        )
        asleep = "SELECT count(*) = 1 FROM pg_stat_activity WHERE wait_event = 'PgSleep'"
        await eventually("the query runs", lambda: ask(pair[1].url(), asleep))
        await lock_what_is_being_read(pair)
        with pytest.raises(DBAPIError, match="terminating connection due to conflict") as caught:
            await reading
        assert caught.value.connection_invalidated


@pytest.mark.parametrize("isolation_level", ["READ COMMITTED", "REPEATABLE READ"])
@pytest.mark.parametrize("stand_against", [remove_what_is_being_read, lock_what_is_being_read])
async def test_a_transaction_that_is_idle_there_loses_its_connection(
    pair: Pair, make_engine: MakeEngine, stand_against: Conflict, isolation_level: str
) -> None:
    await ask(pair[0].url(), "INSERT INTO orders DEFAULT VALUES")
    await caught_up(pair)
    engine = make_engine(pair[1].url(), isolation_level=isolation_level)
    async with engine.connect() as connection:
        pid = await connection.scalar(text("SELECT pg_backend_pid() FROM orders LIMIT 1"))
        await stand_against(pair)
        gone = f"SELECT count(*) = 0 FROM pg_stat_activity WHERE pid = {pid}"
        await eventually("the backend has left", lambda: ask(pair[1].url(), gone))
        with pytest.raises(DBAPIError) as caught:
            await connection.execute(text("SELECT count(*) FROM orders"))
        assert caught.value.connection_invalidated


async def test_select_for_update_is_a_write(pair: Pair, make_engine: MakeEngine) -> None:
    await caught_up(pair)
    primary, replica = (make_engine(server.url()) for server in pair)
    routed = sticky(primary.sync_engine, replica.sync_engine)
    async with AsyncSession(sync_session_class=routed) as session:
        with pytest.raises(
            DBAPIError, match="cannot execute SELECT FOR UPDATE in a read-only transaction"
        ):
            await session.scalar(select(Order).with_for_update())
    async with AsyncSession(sync_session_class=routed) as session:
        here = {"bind": primary.sync_engine}
        with pytest.raises(DBAPIError, match="read-only transaction"):
            await session.scalars(select(Order).with_for_update(), bind_arguments=here)
    async with AsyncSession(sync_session_class=routed) as session:
        with pytest.raises(DBAPIError, match=r"cannot execute nextval\(\) in a read-only"):
            await session.scalar(select(func.nextval("orders_id_seq")))
    async with AsyncSession(sync_session_class=routed) as session:
        with pytest.raises(DBAPIError, match="in a read-only transaction"):
            await session.execute(select(insert(Order).returning(Order.id).cte()))
    async with AsyncSession(sync_session_class=routed) as session:
        engine = (await session.connection(bind_arguments={"bind": primary.sync_engine})).engine
        assert engine.sync_engine is primary.sync_engine
    async with AsyncSession(sync_session_class=routed) as session:
        session.info["wrote"] = True
        await session.scalars(select(Order).with_for_update())


async def test_the_manuals_get_bind_sends_text_and_a_core_insert_to_the_replica(
    pair: Pair, make_engine: MakeEngine
) -> None:
    primary, replica = (make_engine(server.url()) for server in pair)
    manual = inspect.getsource(AsyncSession)
    assert "elif self._flushing or isinstance(clause, (Update, Delete)):" in manual

    class Routing(Session):
        def get_bind(self, mapper: Any = None, clause: Any = None, **given: Any) -> Engine:
            writes = self._flushing or isinstance(clause, (Update, Delete))
            return (primary if writes else replica).sync_engine

    async with AsyncSession(sync_session_class=Routing) as session:
        with pytest.raises(DBAPIError, match="cannot execute INSERT in a read-only transaction"):
            await session.execute(insert(Order))
    async with AsyncSession(sync_session_class=Routing) as session:
        assert await session.scalar(text("SELECT pg_is_in_recovery()")) is True


async def test_a_session_that_reads_and_then_writes_holds_two_connections(
    pair: Pair, make_engine: MakeEngine
) -> None:
    primary, replica = (make_engine(server.url()) for server in pair)
    routed = sticky(primary.sync_engine, replica.sync_engine)
    async with AsyncSession(sync_session_class=routed) as session:
        await session.scalar(select(func.count(Order.id)))
        assert (checked_out(primary), checked_out(replica)) == (0, 1)
        await session.execute(insert(Order))
        assert (checked_out(primary), checked_out(replica)) == (1, 1)
        inside = await session.scalar(select(func.count(Order.id)))
        assert inside == 1 + await ask(pair[0].url(), "SELECT count(*) FROM orders")
        await session.commit()
    assert (checked_out(primary), checked_out(replica)) == (0, 0)


async def test_a_query_does_not_call_the_get_bind_of_an_async_session(
    make_engine: MakeEngine,
) -> None:
    asked = []

    class Routed(AsyncSession):
        def get_bind(self, *args: Any, **kwargs: Any) -> Any:
            asked.append(args)
            return super().get_bind(*args, **kwargs)

    async with Routed(make_engine()) as session:
        assert await session.scalar(select(1)) == 1
    assert asked == []


async def test_text_goes_to_the_primary_in_the_sticky_session(
    pair: Pair, make_engine: MakeEngine
) -> None:
    primary, replica = (make_engine(server.url()) for server in pair)
    routed = sticky(primary.sync_engine, replica.sync_engine)
    async with AsyncSession(sync_session_class=routed) as session:
        assert await session.scalar(text("SELECT pg_is_in_recovery()")) is False
        assert await session.scalar(select(func.pg_is_in_recovery())) is False
    async with AsyncSession(sync_session_class=routed) as session:
        assert await session.scalar(select(func.pg_is_in_recovery())) is True


@pytest.mark.parametrize(
    ("driver", "setting"),
    [
        ("asyncpg", {"server_settings": {"default_transaction_read_only": "on"}}),
        ("psycopg", {"options": "-c default_transaction_read_only=on"}),
    ],
)
async def test_readonly_false_overrules_the_setting_on_psycopg(
    database_url: str, make_engine: MakeEngine, driver: str, setting: dict[str, Any]
) -> None:
    engine = engine_for(make_engine, database_url, driver, connect_args=setting)
    create = text("CREATE TABLE teas (id int)")
    with pytest.raises(DBAPIError, match="in a read-only transaction"):
        async with engine.connect() as connection:
            await connection.execute(create)
    writing = engine.execution_options(postgresql_readonly=False)
    async with writing.connect() as connection:
        if driver == "psycopg":
            await connection.execute(create)
        else:
            with pytest.raises(DBAPIError, match="in a read-only transaction"):
                await connection.execute(create)


class First(DeclarativeBase):
    pass


class Second(DeclarativeBase):
    pass


class Left(First):
    __tablename__ = "lefts"
    id: Mapped[int] = mapped_column(primary_key=True)


class Right(Second):
    __tablename__ = "rights"
    id: Mapped[int] = mapped_column(primary_key=True)


async def test_with_two_databases_one_may_commit_and_the_other_not(
    database_url: str, make_engine: MakeEngine
) -> None:
    engines = [make_engine(database_url) for _ in range(2)]
    outcomes = set()
    for base, engine in zip((First, Second), engines, strict=True):
        async with engine.begin() as connection:
            await connection.run_sync(base.metadata.create_all)
    pid = text("SELECT pg_backend_pid()")
    watcher = make_engine(database_url, poolclass=NullPool)
    async with asyncio.timeout(60):
        while (1, 0) not in outcomes and (0, 1) not in outcomes:
            for fails in (Left, Right):
                session = AsyncSession(binds=dict(zip((First, Second), engines, strict=True)))
                session.add_all([Left(), Right()])
                await session.flush()
                victim = await session.scalar(pid, bind_arguments={"mapper": fails})
                async with watcher.connect() as connection:
                    await end_backend(connection, victim)
                    before = await counts(connection)
                with pytest.raises(DBAPIError):
                    async with session:
                        await session.commit()
                async with watcher.connect() as connection:
                    after = await counts(connection)
                outcomes.add((after[0] - before[0], after[1] - before[1]))
    assert (1, 1) not in outcomes


async def test_with_twophase_both_commit_or_neither_and_what_is_between_stays(
    make_engine: MakeEngine,
) -> None:
    pid, prepared = text("SELECT pg_backend_pid()"), "SELECT count(*) FROM pg_prepared_xacts"
    with EmbeddedPostgres(max_prepared_transactions="4") as server:
        engines: Any = {base: make_engine(server.url()) for base in (First, Second)}
        for base, engine in engines.items():
            async with engine.begin() as connection:
                await connection.run_sync(base.metadata.create_all)
        for fails in (Left, Right):
            session = AsyncSession(binds=engines, twophase=True)
            session.add_all([Left(), Right()])
            await session.flush()
            victim = await session.scalar(pid, bind_arguments={"mapper": fails})
            await ask(server.url(), f"SELECT pg_terminate_backend({victim}, 10000)")
            with pytest.raises(DBAPIError):
                async with session:
                    await session.commit()
        seen = make_engine(server.url(), poolclass=NullPool)
        async with seen.connect() as connection:
            assert await counts(connection) == (0, 0)
        assert await ask(server.url(), prepared) == 0
        session = AsyncSession(binds=engines, twophase=True)
        session.add_all([Left(), Right()])
        await session.run_sync(lambda session: session.prepare())
        await session.invalidate()  # its connections end, as with a process that dies

        async def ended() -> bool:
            return await backends(server.url()) == 0

        await eventually("they have ended", ended)
        assert await ask(server.url(), prepared) == 2
        for engine in engines.values():
            await engine.dispose()


async def test_with_twophase_a_connection_that_ends_in_between_leaves_a_half(
    make_engine: MakeEngine,
) -> None:
    pid, outcomes = text("SELECT pg_backend_pid()"), set[tuple[int, int]]()
    with EmbeddedPostgres(max_prepared_transactions="4") as server:
        engines: Any = {base: make_engine(server.url()) for base in (First, Second)}
        for base, engine in engines.items():
            async with engine.begin() as connection:
                await connection.run_sync(base.metadata.create_all)
        watcher = make_engine(server.url(), isolation_level="AUTOCOMMIT", poolclass=NullPool)
        async with asyncio.timeout(60), watcher.connect() as connection:
            while (1, 0) not in outcomes and (0, 1) not in outcomes:
                for fails in (Left, Right):
                    before = await counts(connection)
                    session = AsyncSession(binds=engines, twophase=True)
                    session.add_all([Left(), Right()])
                    await session.flush()
                    victim = await session.scalar(pid, bind_arguments={"mapper": fails})
                    await session.run_sync(lambda session: session.prepare())
                    await end_backend(connection, victim)
                    with pytest.raises(DBAPIError):
                        async with session:
                            await session.commit()
                    after = await counts(connection)
                    outcomes.add((after[0] - before[0], after[1] - before[1]))
                    left = await connection.scalars(text("SELECT gid FROM pg_prepared_xacts"))
                    [still_prepared] = left.all()
                    await connection.execute(text(f"ROLLBACK PREPARED '{still_prepared}'"))
        assert (1, 1) not in outcomes
        for engine in engines.values():
            await engine.dispose()


async def counts(connection: Any) -> tuple[int, int]:
    query = text("SELECT (SELECT count(*) FROM lefts), (SELECT count(*) FROM rights)")
    left, right = (await connection.execute(query)).one()
    return left, right


@pytest.mark.parametrize(
    ("options", "begins"),
    [
        ({}, ["BEGIN;"]),
        ({"postgresql_readonly": True}, ["BEGIN READ ONLY;"]),
        ({"isolation_level": "AUTOCOMMIT"}, []),
    ],
)
async def test_a_session_that_reads_begins_a_transaction_but_in_autocommit(
    make_engine: MakeEngine, options: dict[str, Any], begins: list[str]
) -> None:
    engine = make_engine(pool_size=1)
    sent = record_queries(engine)
    async with engine.connect() as connection:
        await connection.execute(text("SELECT 1"))
    sent.clear()
    async with AsyncSession(engine.execution_options(**options)) as session:
        await session.scalar(text("SELECT 2"))
    assert [query for query in sent if query.startswith("BEGIN")] == begins
