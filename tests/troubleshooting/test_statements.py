"""What the page on errors of statements says beyond what its snippets print."""

import asyncio
from contextlib import suppress

import pytest
from sqlalchemy import (
    Column,
    Enum,
    ForeignKey,
    Integer,
    MetaData,
    Table,
    UniqueConstraint,
    text,
)
from sqlalchemy.exc import (
    DBAPIError,
    InvalidRequestError,
    OperationalError,
    ProgrammingError,
)
from sqlalchemy.ext.asyncio import AsyncEngine, AsyncSession, create_async_engine
from sqlalchemy.orm import registry, relationship

from tests.pools import MakeEngine, both_drivers, engine_for, run_sql
from tests.waiting import eventually

SHELF = "CREATE TABLE shelf AS VALUES ('longjing', 5), ('oolong', 5)"
TAKE = text("UPDATE shelf SET column2 = column2 - 1 WHERE column1 = :tea")
OOLONG = text("SELECT 'oolong'")
PID = text("SELECT pg_backend_pid()")
LONGJING_FIRST = ({"tea": "longjing"}, {"tea": "oolong"})
OOLONG_FIRST = LONGJING_FIRST[::-1]


async def take(session: AsyncSession, meet: asyncio.Barrier, *teas: dict[str, str]) -> None:
    await session.execute(TAKE, teas[0])
    await meet.wait()
    await session.execute(TAKE, teas[1])


async def the_loser(
    engine: AsyncEngine, *sessions: AsyncSession
) -> tuple[AsyncSession, DBAPIError]:
    """Bring two sessions to a deadlock: the one that PostgreSQL cancels, and its error."""
    meet = asyncio.Barrier(2)

    async def one(session: AsyncSession, *teas: dict[str, str]) -> DBAPIError | None:
        try:
            await take(session, meet, *teas)
            await session.commit()
        except DBAPIError as error:
            return error
        return None

    first, second = sessions
    errors = await asyncio.gather(one(first, *LONGJING_FIRST), one(second, *OOLONG_FIRST))
    for session, error in zip(sessions, errors, strict=True):
        if error:
            return session, error
    raise AssertionError("no deadlock")


@both_drivers
async def test_the_loser_keeps_its_connection_and_must_begin_anew(
    make_engine: MakeEngine, database_url: str, driver: str
) -> None:
    engine = engine_for(make_engine, database_url, driver)
    await run_sql(engine, SHELF)
    async with AsyncSession(engine) as one, AsyncSession(engine) as other:
        pids = {session: await session.scalar(PID) for session in (one, other)}
        loser, error = await the_loser(engine, one, other)
        assert "deadlock detected" in str(error.orig)
        cause = getattr(error.orig, "__cause__", None) or error.orig
        assert f"Process {pids[loser]} waits" in str(cause)
        assert not error.connection_invalidated
        assert getattr(error.orig, "sqlstate", None) == "40P01"
        assert isinstance(error, OperationalError) == (driver == "psycopg")
        with pytest.raises(DBAPIError, match="current transaction is aborted"):
            await loser.execute(TAKE, LONGJING_FIRST[0])
        await loser.rollback()
        assert await loser.scalar(PID) in pids.values()


async def test_rows_locked_in_one_order_end_in_no_deadlock(make_engine: MakeEngine) -> None:
    engine = make_engine(pool_size=10)
    await run_sql(engine, SHELF)

    async def order() -> None:
        async with AsyncSession(engine) as session, session.begin():
            for tea in sorted(["oolong", "longjing"]):
                await session.execute(TAKE, {"tea": tea})

    await asyncio.gather(*(order() for _ in range(10)))
    async with engine.connect() as connection:
        left = await connection.scalars(text("SELECT column2 FROM shelf"))
        assert list(left) == [-5, -5]


WAITS = text("SELECT count(*) FROM pg_locks WHERE NOT granted")


@pytest.mark.parametrize(
    ("statement", "takes_the_second_first"),
    [
        ("UPDATE shelf SET column2 = 0 WHERE column1 IN ('longjing', 'oolong')", True),
        ("SELECT 1 FROM shelf ORDER BY column1 FOR UPDATE", False),
    ],
)
async def test_an_update_of_several_rows_locks_in_an_order_of_its_own(
    make_engine: MakeEngine, statement: str, takes_the_second_first: bool
) -> None:
    engine = make_engine()
    await run_sql(engine, "CREATE TABLE shelf AS VALUES ('oolong', 5), ('longjing', 5)")
    async with engine.connect() as holder, engine.connect() as one, engine.connect() as other:
        await holder.execute(TAKE, {"tea": "longjing"})
        locking = asyncio.create_task(one.execute(text(statement)))
        await eventually("it waits for the longjing", lambda: holder.scalar(WAITS))
        oolong = text("SELECT 1 FROM shelf WHERE column1 = 'oolong' FOR UPDATE SKIP LOCKED")
        assert bool((await other.execute(oolong)).all()) is not takes_the_second_first
        await other.rollback()
        await holder.rollback()
        await locking


@both_drivers
async def test_a_conflict_is_an_operational_error_of_psycopg_alone(
    make_engine: MakeEngine, database_url: str, driver: str
) -> None:
    engine = engine_for(make_engine, database_url, driver)
    for sqlstate in "40001", "57014", "55P03":
        with pytest.raises(DBAPIError) as caught:
            await run_sql(engine, f"DO $$ BEGIN RAISE SQLSTATE '{sqlstate}'; END $$")
        assert isinstance(caught.value, OperationalError) == (driver == "psycopg")


async def test_nowait_has_a_text_of_its_own_and_the_same_sqlstate(make_engine: MakeEngine) -> None:
    engine = make_engine()
    await run_sql(engine, SHELF)
    async with engine.begin() as holder, engine.connect() as connection:
        await holder.execute(TAKE, {"tea": "oolong"})
        with pytest.raises(DBAPIError, match="could not obtain lock on row in relation") as caught:
            await connection.execute(text("SELECT FROM shelf FOR UPDATE NOWAIT"))
    assert getattr(caught.value.orig, "sqlstate", None) == "55P03"


@pytest.mark.parametrize("clause", ["NOWAIT", "SKIP LOCKED"])
async def test_neither_nowait_nor_skip_locked_spares_the_wait_for_the_table(
    make_engine: MakeEngine, clause: str
) -> None:
    engine = make_engine()
    await run_sql(engine, SHELF)
    async with engine.connect() as migration, engine.connect() as connection:
        await migration.execute(text("ALTER TABLE shelf ADD COLUMN price int"))
        await connection.execute(text("SET LOCAL lock_timeout = '100ms'"))
        with pytest.raises(DBAPIError, match="canceling statement due to lock timeout"):
            await connection.execute(text(f"SELECT FROM shelf FOR UPDATE {clause}"))


async def test_under_repeatable_read_a_deleted_row_is_a_conflict_and_a_row_only_read_is_none(
    make_engine: MakeEngine,
) -> None:
    engine = make_engine(isolation_level="REPEATABLE READ")
    await run_sql(engine, SHELF)
    async with engine.connect() as connection:
        await connection.execute(text("SELECT FROM shelf"))
        await run_sql(engine, "UPDATE shelf SET column2 = 1 WHERE column1 = 'longjing'")
        await run_sql(engine, "DELETE FROM shelf WHERE column1 = 'oolong'")
        await connection.execute(text("SELECT FROM shelf"))
        with pytest.raises(DBAPIError, match="due to concurrent delete") as caught:
            await connection.execute(TAKE, {"tea": "oolong"})
    assert getattr(caught.value.orig, "sqlstate", None) == "40001"


async def test_two_serializable_transactions_that_read_what_the_other_writes_conflict(
    make_engine: MakeEngine,
) -> None:
    engine = make_engine(isolation_level="SERIALIZABLE")
    await run_sql(engine, SHELF)
    read = text("SELECT sum(column2) FROM shelf")
    async with engine.connect() as one, engine.connect() as other:
        await one.execute(read)
        await other.execute(read)
        await one.execute(TAKE, {"tea": "longjing"})
        await other.execute(TAKE, {"tea": "oolong"})
        await one.commit()
        words = "could not serialize access due to read/write dependencies among transactions"
        with pytest.raises(DBAPIError, match=words) as caught:
            await other.commit()
    assert getattr(caught.value.orig, "sqlstate", None) == "40001"


@both_drivers
async def test_commit_after_a_swallowed_error_saves_nothing_and_raises_nothing(
    make_engine: MakeEngine, database_url: str, driver: str
) -> None:
    engine = engine_for(make_engine, database_url, driver)
    await run_sql(engine, SHELF)
    async with AsyncSession(engine) as session:
        await session.execute(TAKE, {"tea": "oolong"})
        with pytest.raises(ProgrammingError):
            await session.execute(text("SELECT mistyped"))
        await session.commit()
        assert await session.scalar(text("SELECT sum(column2) FROM shelf")) == 10


SIZE = Enum("cup", "pot", name="size")


@pytest.mark.parametrize(
    ("column", "words", "sqlstate"),
    [
        (Column("id", Integer), 'relation "menu" already exists', "42P07"),
        (Column("size", SIZE), 'type "size" already exists', "42710"),
    ],
    ids=["table", "enum"],
)
async def test_what_was_committed_in_between_already_exists(
    make_engine: MakeEngine, column: Column[object], words: str, sqlstate: str
) -> None:
    engine = make_engine()
    metadata = MetaData()
    Table("menu", metadata, column._copy())
    async with engine.begin() as connection:
        await connection.run_sync(metadata.create_all)
    async with engine.connect() as connection:
        with pytest.raises(ProgrammingError, match=words) as caught:
            await connection.run_sync(metadata.create_all, checkfirst=False)
    assert getattr(caught.value.orig, "sqlstate", None) == sqlstate


@pytest.mark.parametrize("column", [Column("id", Integer), Column("size", SIZE)])
async def test_the_loser_of_create_all_may_not_go_on_but_start_again(
    make_engine: MakeEngine, column: Column[object]
) -> None:
    engine = make_engine()
    metadata = MetaData()
    Table("menu", metadata, column._copy())
    async with engine.begin() as first:
        await first.run_sync(metadata.create_all)
        async with engine.connect() as second:
            creating = asyncio.create_task(second.run_sync(metadata.create_all))
            waits = text("SELECT count(*) FROM pg_locks WHERE NOT granted")
            async with asyncio.timeout(30):
                while not await first.scalar(waits):
                    continue
            await first.commit()
            with pytest.raises(DBAPIError, match="pg_type_typname_nsp_index"):
                await creating
            with pytest.raises(DBAPIError, match="current transaction is aborted"):
                await second.execute(OOLONG)
            await second.rollback()
            await second.run_sync(metadata.create_all)


async def test_two_tables_with_a_constraint_of_one_name_do_on_sqlite(
    make_engine: MakeEngine,
) -> None:
    metadata = MetaData()
    for name in ("guests", "hosts"):
        Table(name, metadata, Column("id", Integer), UniqueConstraint("id", name="unique_session"))
    with pytest.raises(ProgrammingError, match='relation "unique_session" already exists'):
        async with make_engine().begin() as connection:
            await connection.run_sync(metadata.create_all)
    engine = create_async_engine("sqlite+aiosqlite://")
    try:
        async with engine.begin() as connection:
            await connection.run_sync(metadata.create_all)
    finally:
        await engine.dispose()


@pytest.mark.parametrize("ending", ["commit", "rollback", "close"])
@pytest.mark.parametrize("beginning", ["begin", "begin_nested"])
async def test_a_transaction_is_closed_by_its_session(
    make_engine: MakeEngine, beginning: str, ending: str
) -> None:
    async with AsyncSession(make_engine()) as session:
        transaction = await getattr(session, beginning)()
        await session.execute(OOLONG)
        await getattr(session, ending)()
        with pytest.raises(InvalidRequestError, match="This transaction is closed"):
            await transaction.commit()


async def test_a_connection_says_it_in_other_words(make_engine: MakeEngine) -> None:
    async with make_engine().connect() as connection:
        transaction = await connection.begin()
        with pytest.raises(InvalidRequestError) as caught:
            await connection.begin()
        assert str(caught.value) == (
            "This connection has already initialized a SQLAlchemy Transaction() object via begin() "
            "or autobegin; can't call begin() here unless rollback() or commit() is called first."
        )
        await connection.commit()
        with pytest.raises(InvalidRequestError, match="This transaction is inactive"):
            await transaction.commit()


async def test_in_autocommit_it_says_so_too_and_after_a_commit_the_block_is_no_transaction(
    make_engine: MakeEngine,
) -> None:
    engine = make_engine(isolation_level="AUTOCOMMIT")
    insert = text("INSERT INTO orders DEFAULT VALUES")
    count = text("SELECT count(*) FROM orders")
    async with engine.connect() as connection:
        await connection.execute(text("CREATE TABLE orders ()"))
        with pytest.raises(InvalidRequestError, match="has already initialized a SQLAlchemy"):
            await connection.begin()
        await connection.commit()
        with suppress(LookupError):
            async with connection.begin():
                await connection.execute(insert)
                raise LookupError
        assert await connection.scalar(count) == 1
        for other, rows in ((engine, 2), (make_engine(), 2)):
            with suppress(LookupError):
                async with other.connect() as elsewhere, elsewhere.begin():
                    await elsewhere.execute(insert)
                    raise LookupError
            assert await connection.scalar(count) == rows


async def test_add_begins_a_transaction_too(make_engine: MakeEngine) -> None:
    class Menu:
        pass

    registry().map_imperatively(
        Menu, Table("menu", MetaData(), Column("id", Integer, primary_key=True))
    )
    async with AsyncSession(make_engine()) as session:
        session.add(Menu())
        with pytest.raises(InvalidRequestError, match="A transaction is already begun"):
            await session.begin()


async def test_what_was_added_is_refreshed_after_a_flush(make_engine: MakeEngine) -> None:
    class Menu:
        pass

    table = Table("menu", MetaData(), Column("id", Integer, primary_key=True))
    registry().map_imperatively(Menu, table)
    async with AsyncSession(make_engine()) as session:
        await (await session.connection()).run_sync(table.create)
        session.add(menu := Menu())
        with pytest.raises(InvalidRequestError, match="is not persistent within this Session"):
            await session.refresh(menu)
        await session.flush()
        await session.refresh(menu)


async def test_an_object_of_an_open_session_is_merged_not_added(make_engine: MakeEngine) -> None:
    class Menu:
        pass

    table = Table("menu", MetaData(), Column("id", Integer, primary_key=True))
    registry().map_imperatively(Menu, table)
    engine = make_engine()
    async with engine.begin() as connection:
        await connection.run_sync(table.create)
    async with AsyncSession(engine, expire_on_commit=False) as other:
        other.add(menu := Menu())
        await other.commit()
        async with AsyncSession(engine) as session:
            with pytest.raises(InvalidRequestError, match="is already attached to session"):
                session.add(menu)
            with pytest.raises(InvalidRequestError, match="is already attached to session"):
                await session.delete(menu)
            await session.delete(await session.merge(menu))
            await session.commit()
    async with AsyncSession(engine) as session:
        session.add(menu)


async def test_an_object_of_an_open_session_is_added_by_one_that_refers_to_it(
    make_engine: MakeEngine,
) -> None:
    class Menu:
        pass

    class Item:
        menu: Menu

    metadata, mapper = MetaData(), registry()
    menus = Table("menu", metadata, Column("id", Integer, primary_key=True))
    items = Table(
        "item",
        metadata,
        Column("id", Integer, primary_key=True),
        Column("menu_id", ForeignKey("menu.id")),
    )
    mapper.map_imperatively(Menu, menus)
    mapper.map_imperatively(Item, items, properties={"menu": relationship(Menu)})
    engine = make_engine()
    async with engine.begin() as connection:
        await connection.run_sync(metadata.create_all)
    async with AsyncSession(engine) as other, AsyncSession(engine) as session:
        other.add(menu := Menu())
        await other.flush()
        item = Item()
        item.menu = menu
        with pytest.raises(InvalidRequestError, match="is already attached to session"):
            session.add(item)


async def test_begin_nested_without_a_commit_saves_nothing(make_engine: MakeEngine) -> None:
    engine = make_engine()
    await run_sql(engine, SHELF)
    async with AsyncSession(engine) as session:
        await session.execute(OOLONG)
        async with session.begin_nested():
            await session.execute(TAKE, {"tea": "oolong"})
    async with engine.connect() as connection:
        assert await connection.scalar(text("SELECT sum(column2) FROM shelf")) == 10
