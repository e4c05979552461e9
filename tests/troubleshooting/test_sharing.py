"""What the page on errors of shared sessions says beyond what its snippets print."""

import asyncio
import gc
from collections.abc import AsyncIterator
from typing import Annotated, Self

import asyncpg  # type: ignore[import-untyped]
import pytest
from fastapi import Depends, FastAPI
from sqlalchemy import func, select, text
from sqlalchemy.exc import (
    DBAPIError,
    IllegalStateChangeError,
    InterfaceError,
    InvalidRequestError,
    ResourceClosedError,
    SAWarning,
)
from sqlalchemy.ext.asyncio import AsyncEngine, AsyncSession, async_sessionmaker
from sqlalchemy.orm import DeclarativeBase, Mapped, mapped_column
from sqlalchemy.pool import NullPool

from tests.pools import (
    MakeEngine,
    both_drivers,
    checked_out,
    engine_for,
    leaves_open,
    with_psycopg,
)
from tests.serving import serving
from tests.versions import IS_2_0
from tools.postgres import dsn_of

OOLONG = text("SELECT 'oolong'")
NAP = text("SELECT pg_sleep(0.1)")


class Base(DeclarativeBase):
    """Where the table belongs to."""


class Tea(Base):
    """A row that a commit has to flush."""

    __tablename__ = "tea"
    name: Mapped[str] = mapped_column(primary_key=True)


async def together(session: AsyncSession) -> tuple[object, object]:
    both = session.execute(OOLONG), session.execute(OOLONG)
    return await asyncio.gather(*both, return_exceptions=True)


class UnitOfWork:
    """As it is often written: the session is an attribute."""

    def __init__(self, make_session: async_sessionmaker[AsyncSession]) -> None:
        self.make_session = make_session
        self.answered = asyncio.Event()

    async def __aenter__(self) -> Self:
        self.session = self.make_session()
        return self

    async def __aexit__(self, *_: object) -> None:
        await self.session.close()

    async def serve(self) -> str:
        async with self:
            await asyncio.sleep(0)  # in which another request comes
            try:
                drink = await self.session.scalar(OOLONG)
            except InvalidRequestError as error:
                await self.answered.wait()
                return str(error)
            self.answered.set()
            return str(drink)


async def test_requests_that_share_a_unit_of_work_share_its_session(
    make_engine: MakeEngine,
) -> None:
    shared = UnitOfWork(async_sessionmaker(make_engine()))
    served, error = await asyncio.gather(shared.serve(), shared.serve())
    assert served == "oolong"
    assert "This session is provisioning a new connection" in error


@leaves_open
async def test_a_shared_unit_of_work_loses_the_connection_of_the_first_request(
    make_engine: MakeEngine,
) -> None:
    engine = make_engine()
    shared = UnitOfWork(async_sessionmaker(engine))
    async with shared:
        await shared.session.execute(OOLONG)
        async with shared:  # another request
            await shared.session.execute(OOLONG)
    assert checked_out(engine) == 1
    with pytest.warns(SAWarning, match="non-checked-in connection"):
        gc.collect()
    assert checked_out(engine) == 0


@leaves_open
async def test_a_refresh_behind_the_response_leaks_the_connection_of_a_request_that_had_its_200(
    database_url: str, make_engine: MakeEngine
) -> None:
    app = FastAPI()
    over = asyncio.Event()
    refreshes: list[asyncio.Task[object]] = []
    said: list[str] = []

    async def connect() -> object:
        await over.wait()
        return await asyncpg.connect(dsn_of(database_url))

    engine = make_engine(async_creator=connect)

    async def get_session() -> AsyncIterator[AsyncSession]:
        try:
            async with AsyncSession(engine) as session:
                yield session
        except IllegalStateChangeError as error:
            said.append(str(error))
        over.set()

    @app.get("/")
    async def pour(session: Annotated[AsyncSession, Depends(get_session)]) -> str:
        refreshes.append(asyncio.create_task(session.scalar(OOLONG)))
        await asyncio.sleep(0)  # in which the refresh begins to connect
        return "from the cache"

    async with serving(app) as client:
        assert (await client.get("/")).status_code == 200
    assert "Method 'close()' can't be called here" in said[0]
    assert await refreshes.pop() == "oolong"
    assert checked_out(engine) == 1
    with pytest.warns(SAWarning, match="non-checked-in connection"):
        gc.collect()


async def test_null_pool_makes_provisioning_certain(make_engine: MakeEngine) -> None:
    engine = make_engine(poolclass=NullPool)
    for _ in range(3):
        async with AsyncSession(engine) as session:
            _, error = await together(session)
        assert "This session is provisioning a new connection" in str(error)


@pytest.mark.parametrize(
    "settings",
    [{"poolclass": NullPool}, {"pool_size": 20}, {"pool_pre_ping": True}],
    ids=["NullPool", "larger", "ping"],
)
async def test_no_pool_helps_a_commit_beside_a_query(
    make_engine: MakeEngine, settings: dict[str, object]
) -> None:
    engine = make_engine(**settings)
    async with AsyncSession(engine) as session:
        await session.execute(OOLONG)
        both = session.execute(NAP), session.commit()
        _, error = await asyncio.gather(*both, return_exceptions=True)
    assert isinstance(error, InterfaceError)
    assert "another operation is in progress" in str(error)


@both_drivers
async def test_in_one_task_a_query_inside_the_loop_over_a_stream_is_in_order(
    make_engine: MakeEngine, database_url: str, driver: str
) -> None:
    async with AsyncSession(engine_for(make_engine, database_url, driver)) as session:
        stream = await session.stream(text("SELECT generate_series(1, 200)"))
        assert {await session.scalar(OOLONG) async for _ in stream} == {"oolong"}


@pytest.mark.parametrize("committed", [False, True])
@pytest.mark.parametrize(("ping", "refused"), [(False, False), (True, True)])
async def test_a_ping_provisions_too_though_the_pool_has_a_connection_ready(
    make_engine: MakeEngine, ping: bool, refused: bool, committed: bool
) -> None:
    engine = make_engine(pool_pre_ping=ping)
    async with engine.connect() as connection:
        await connection.execute(OOLONG)
    async with AsyncSession(engine) as session:
        if committed:
            await session.execute(OOLONG)
            await session.commit()
        _, second = await together(session)
    assert ("This session is provisioning a new connection" in str(second)) == refused


async def test_who_waits_for_the_pool_provisions_too(make_engine: MakeEngine) -> None:
    engine = make_engine(pool_size=1, max_overflow=0)
    lent = await engine.connect()
    async with AsyncSession(engine) as session:
        _, second, _ = await asyncio.gather(
            session.execute(OOLONG), session.execute(OOLONG), lent.close(), return_exceptions=True
        )
    assert "This session is provisioning a new connection" in str(second)


@both_drivers
async def test_a_session_closed_while_its_commit_flushes_saves_nothing_and_keeps_its_connection(
    make_engine: MakeEngine, database_url: str, driver: str
) -> None:
    engine = engine_for(make_engine, database_url, driver)
    async with engine.begin() as connection:
        await connection.run_sync(Tea.metadata.create_all)
    session = AsyncSession(engine)
    await session.connection()
    session.add(Tea(name="oolong"))
    both = session.commit(), session.close()
    lost, error = await asyncio.gather(*both, return_exceptions=True)
    assert "method '_prepare_impl()' is already in progress" in str(error)
    assert isinstance(lost, ResourceClosedError)
    assert str(lost).startswith("This transaction is closed")
    assert checked_out(engine) == 1
    await session.close()  # a second one returns it
    async with AsyncSession(engine) as another:
        assert await another.scalar(select(func.count()).select_from(Tea)) == 0


async def test_a_session_closed_beside_its_commit_has_lost_nothing(make_engine: MakeEngine) -> None:
    engine = make_engine()
    session = AsyncSession(engine)
    await session.execute(text("CREATE TABLE menu (tea text)"))
    both = session.commit(), session.close()
    saved, error = await asyncio.gather(*both, return_exceptions=True)
    assert isinstance(error, IllegalStateChangeError)
    assert str(error).startswith(
        "Method 'close()' can't be called here; method 'commit()' is already in progress"
    )
    assert (saved, checked_out(engine)) == (None, 0)
    async with engine.connect() as connection:
        assert await connection.scalar(text("SELECT count(*) FROM menu")) == 0


async def test_psycopg_waits_where_asyncpg_refuses(
    make_engine: MakeEngine, database_url: str
) -> None:
    engine = make_engine(with_psycopg(database_url))
    async with AsyncSession(engine) as session:
        await session.execute(OOLONG)
        await asyncio.gather(session.execute(NAP), session.commit())


async def test_psycopg_shares_the_texts_of_sqlalchemy(
    make_engine: MakeEngine, database_url: str
) -> None:
    engine = make_engine(with_psycopg(database_url))
    async with AsyncSession(engine) as session:
        _, error = await together(session)
    assert "This session is provisioning a new connection" in str(error)


async def test_a_second_close_of_a_session_closed_for_good_does_no_harm(
    make_engine: MakeEngine,
) -> None:
    engine = make_engine()
    async with async_sessionmaker(engine, close_resets_only=False)() as session:
        await session.execute(OOLONG)
    await session.close()
    assert checked_out(engine) == 0


async def test_begin_after_the_commit_raises_the_same_text(make_engine: MakeEngine) -> None:
    async with AsyncSession(make_engine()) as session, session.begin():
        await session.execute(OOLONG)
        await session.commit()
        with pytest.raises(InvalidRequestError, match="Can't operate on closed transaction"):
            await session.begin()


# A BEGIN that failed


async def refuse_begin(engine: AsyncEngine) -> None:
    """Use the driver's connection beside SQLAlchemy's, so that asyncpg refuses the `BEGIN`."""
    async with engine.connect() as connection:
        driver = (await connection.get_raw_connection()).driver_connection
        assert driver is not None
        nap = asyncio.create_task(driver.fetch(str(NAP)))
        await asyncio.sleep(0)  # in which the nap is sent
        with pytest.raises(InterfaceError, match="another operation is in progress"):
            await connection.execute(OOLONG)
        await nap


async def borrow(engine: AsyncEngine) -> str:
    try:
        async with engine.connect() as connection:
            return str(await connection.scalar(OOLONG))
    except DBAPIError as error:
        return str(error)


@pytest.mark.parametrize("pings", [False, True])
async def test_after_a_begin_that_failed_a_connection_says_savepoint_each_time(
    make_engine: MakeEngine, pings: bool
) -> None:
    engine = make_engine(pool_size=1, max_overflow=0, pool_pre_ping=pings)
    await refuse_begin(engine)
    said = [await borrow(engine) for _ in range(3)]
    assert "SAVEPOINT can only be used in transaction blocks" in said[0]
    assert "SQL: SAVEPOINT" not in said[0]
    heals = pings and not IS_2_0
    assert ["SAVEPOINT" in one for one in said] == [True, not heals, not heals]
    await engine.dispose()
    assert await borrow(engine) == "oolong"


async def test_the_first_statement_is_shown_though_it_is_a_savepoint_of_ones_own(
    make_engine: MakeEngine,
) -> None:
    engine = make_engine(pool_size=1, max_overflow=0)
    await refuse_begin(engine)
    async with AsyncSession(engine) as session, session.begin_nested():
        with pytest.raises(DBAPIError, match=r"transaction blocks\s+\[SQL: SAVEPOINT sa_savepoint"):
            await session.execute(OOLONG)


@both_drivers
async def test_in_autocommit_a_savepoint_of_ones_own_says_the_same(
    make_engine: MakeEngine, database_url: str, driver: str
) -> None:
    engine = engine_for(make_engine, database_url, driver, isolation_level="AUTOCOMMIT")
    async with AsyncSession(engine) as session, session.begin_nested():
        with pytest.raises(DBAPIError, match=r"transaction blocks\s+\[SQL: SAVEPOINT sa_savepoint"):
            await session.execute(OOLONG)
