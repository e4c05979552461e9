"""What the page on the session dependency claims beyond the lines that its snippets print."""

import asyncio
import gc
import subprocess
import sys
from collections.abc import AsyncGenerator, AsyncIterator, Awaitable, Callable, MutableMapping
from contextlib import asynccontextmanager
from importlib.metadata import version
from typing import Annotated, Any

import httpx
import pytest
from fastapi import BackgroundTasks, Depends, FastAPI, HTTPException
from fastapi.responses import StreamingResponse
from pydantic import BaseModel, ConfigDict
from sqlalchemy import event, exists, func, insert, select, text, update
from sqlalchemy.exc import ArgumentError, DBAPIError, IntegrityError, MissingGreenlet
from sqlalchemy.ext.asyncio import (
    AsyncEngine,
    AsyncSession,
    async_sessionmaker,
)
from sqlalchemy.orm import DeclarativeBase, Mapped, mapped_column, sessionmaker

from tests.pools import MakeEngine, checked_out, leaves_open, one_connection
from tests.report import require_on
from tests.serving import through
from tests.versions import IS_2_0
from tests.waiting import eventually
from tools.paths import ROOT

SELECT = text("SELECT 'oolong'")


class Base(DeclarativeBase):
    pass


class Order(Base):
    __tablename__ = "orders"
    id: Mapped[int] = mapped_column(primary_key=True)
    drink: Mapped[str]


@pytest.fixture
def engine(make_engine: MakeEngine) -> AsyncEngine:
    return make_engine()


# Annotations, judged by mypy

TYPED = """
from collections.abc import AsyncGenerator, AsyncIterator
from contextlib import aclosing

from sqlalchemy.ext.asyncio import AsyncSession, create_async_engine
from sqlalchemy.orm import sessionmaker

engine = create_async_engine("postgresql+asyncpg://")

async def session() -> AsyncSession:
    yield AsyncSession(engine)

async def iterator() -> AsyncIterator[AsyncSession]:
    yield AsyncSession(engine)

async def generator() -> AsyncGenerator[AsyncSession, None]:
    yield AsyncSession(engine)

close_iterator = aclosing(iterator())
close_generator = aclosing(generator())
old = sessionmaker(engine, class_=AsyncSession)
"""


@pytest.fixture(scope="module")
def mypy_says(tmp_path_factory: pytest.TempPathFactory) -> dict[str, str]:
    """The errors that mypy finds in `TYPED`, by the line of code."""
    file = tmp_path_factory.mktemp("typed") / "dependency.py"
    file.write_text(TYPED, "utf-8")
    ran = subprocess.run(
        [sys.executable, "-m", "mypy", "--strict", "--config-file=", "--no-error-summary",
         "--cache-dir", ROOT / ".cache" / "mypy", file],
        cwd=file.parent, capture_output=True, encoding="utf-8",
    )  # fmt: skip
    assert ran.stderr == ""
    lines = TYPED.splitlines()
    errors = (line.split(":", 3) for line in ran.stdout.splitlines() if ": error: " in line)
    return {lines[int(number) - 1]: message.strip() for _, number, _, message in errors}


def test_mypy_refuses_a_generator_that_claims_to_return_a_session(
    mypy_says: dict[str, str],
) -> None:
    require_on("sessions/dependency", mypy_says["async def session() -> AsyncSession:"])


def test_mypy_lets_only_an_async_generator_be_closed(mypy_says: dict[str, str]) -> None:
    assert "aclosing" in mypy_says["close_iterator = aclosing(iterator())"]
    assert "close_generator = aclosing(generator())" not in mypy_says


def test_mypy_accepts_iterator_and_generator(mypy_says: dict[str, str]) -> None:
    assert not [line for line in mypy_says if line.startswith(("async def it", "async def gen"))]


def test_mypy_refuses_the_synchronous_sessionmaker(mypy_says: dict[str, str]) -> None:
    require_on("sessions/dependency", mypy_says["old = sessionmaker(engine, class_=AsyncSession)"])


# Options of async_sessionmaker


async def test_the_defaults_are_those_in_the_table(engine: AsyncEngine) -> None:
    session = async_sessionmaker(engine)()
    assert type(session) is AsyncSession
    assert session.sync_session.expire_on_commit is True
    assert session.autoflush is True


async def test_the_old_sessionmaker_still_makes_async_sessions(engine: AsyncEngine) -> None:
    async with sessionmaker(engine, class_=AsyncSession)() as session:  # type: ignore[call-overload]
        assert isinstance(session, AsyncSession)


async def test_autocommit_can_only_be_false(engine: AsyncEngine) -> None:
    async_sessionmaker(engine, autocommit=False)()
    with pytest.raises(ArgumentError, match="autocommit=True is no longer supported"):
        async_sessionmaker(engine, autocommit=True)()


async def test_a_rollback_expires_objects_whatever_expire_on_commit_says(
    engine: AsyncEngine,
) -> None:
    async with engine.begin() as connection:
        await connection.run_sync(Base.metadata.create_all)
    async with AsyncSession(engine, expire_on_commit=False) as session:
        order = Order(drink="oolong")
        session.add(order)
        await session.commit()
        await session.refresh(order)
        await session.rollback()
        with pytest.raises(MissingGreenlet):
            print(order.drink)
        await session.refresh(order)
        assert order.drink == "oolong"


async def order_oolong(engine: AsyncEngine) -> None:
    """Make the table of orders, and write one row that others change later."""
    async with engine.begin() as connection:
        await connection.run_sync(Base.metadata.create_all)
        await connection.execute(insert(Order).values(id=1, drink="oolong"))


@pytest.mark.parametrize("expire_on_commit", [False, True])
@pytest.mark.parametrize(
    ("ask", "drink"),
    [
        (lambda it: it.scalars(select(Order).with_for_update()), "oolong"),
        (lambda it: it.get(Order, 1, with_for_update=True), "oolong"),
        (lambda it: it.get(Order, 1, with_for_update=True, populate_existing=True), "longjing"),
        (lambda it: it.refresh(it.kept, with_for_update=True), "longjing"),
    ],
    ids=["select", "get", "get anew", "refresh"],
)
async def test_an_object_read_first_and_locked_later_has_its_old_values(
    engine: AsyncEngine,
    expire_on_commit: bool,
    ask: Callable[[Any], Awaitable[object]],
    drink: str,
) -> None:
    await order_oolong(engine)
    session: Any
    async with AsyncSession(engine, expire_on_commit=expire_on_commit) as session:
        session.kept = await session.get_one(Order, 1)
        async with engine.begin() as connection:
            await connection.execute(update(Order).values(drink="longjing"))
        await ask(session)
        assert session.kept.drink == drink


@pytest.mark.parametrize("level", ["REPEATABLE READ", "SERIALIZABLE"])
async def test_above_read_committed_no_read_is_newer_than_its_transaction(
    engine: AsyncEngine, make_engine: MakeEngine, level: str
) -> None:
    await order_oolong(engine)
    anew = select(Order).execution_options(populate_existing=True)
    async with AsyncSession(make_engine(isolation_level=level)) as session:
        order = await session.get_one(Order, 1)
        async with engine.begin() as connection:
            await connection.execute(update(Order).values(drink="longjing"))
        await session.scalars(anew)
        assert order.drink == "oolong"
        await session.refresh(order)
        assert order.drink == "oolong"
        await session.commit()
        await session.scalars(anew)
        assert order.drink == "longjing"


@pytest.mark.parametrize("level", ["REPEATABLE READ", "SERIALIZABLE"])
async def test_above_read_committed_a_row_that_was_changed_is_not_locked(
    engine: AsyncEngine, make_engine: MakeEngine, level: str
) -> None:
    await order_oolong(engine)
    async with AsyncSession(make_engine(isolation_level=level)) as session:
        order = await session.get_one(Order, 1)
        async with engine.begin() as connection:
            await connection.execute(update(Order).values(drink="longjing"))
        with pytest.raises(DBAPIError, match="could not serialize access due to concurrent"):
            await session.refresh(order, with_for_update=True)


async def test_a_query_whose_objects_are_kept_is_executed_again(engine: AsyncEngine) -> None:
    await order_oolong(engine)
    sent: list[str] = []
    event.listen(engine.sync_engine, "before_cursor_execute", lambda *args: sent.append(args[2]))
    async with AsyncSession(engine) as session:
        first = (await session.scalars(select(Order))).one()
        assert (await session.scalars(select(Order))).one() is first
        assert len(sent) == 2
        assert await session.get(Order, 1) is first
    assert len(sent) == 2, "get() sends nothing"


class Counted(Base):
    __tablename__ = "counted"
    id: Mapped[int] = mapped_column(primary_key=True)
    drink: Mapped[str] = mapped_column(unique=True)


class Tin(Base):
    __tablename__ = "tins"
    id: Mapped[int] = mapped_column(primary_key=True)
    left: Mapped[int]


async def test_an_error_of_autoflush_appears_at_the_query_and_says_so(engine: AsyncEngine) -> None:
    async with engine.begin() as connection:
        await connection.run_sync(Base.metadata.create_all)
    said = (
        "raised as a result of Query-invoked autoflush; consider using a session.no_autoflush "
        "block if this flush is occurring prematurely"
    )
    require_on("sessions/dependency", said)
    async with AsyncSession(engine) as session:
        session.add_all([Counted(drink="oolong"), Counted(drink="oolong")])
        with session.no_autoflush:
            assert (await session.scalars(select(Counted))).all() == []
        with pytest.raises(IntegrityError, match=said):
            await session.scalars(select(Counted))


async def test_autoflush_takes_no_second_connection(make_engine: MakeEngine) -> None:
    engine = one_connection(make_engine)
    async with engine.begin() as connection:
        await connection.run_sync(Base.metadata.create_all)
    async with AsyncSession(engine) as session:
        session.add(Counted(drink="oolong"))
        assert len((await session.scalars(select(Counted))).all()) == 1
        assert checked_out(engine) == 1


@pytest.mark.parametrize("flushes", [True, False])
async def test_before_text_and_tables_2_0_does_not_flush_and_2_1_does(
    make_engine: MakeEngine, flushes: bool
) -> None:
    engine = make_engine()
    async with engine.begin() as connection:
        await connection.run_sync(Base.metadata.create_all)
    for query in (
        text("SELECT count(*) FROM counted"),
        select(func.count()).select_from(Counted.__table__),
        select(exists().where(Counted.drink == "oolong")),
    ):
        async with AsyncSession(engine) as session:
            session.add(Counted(drink="oolong"))
            if flushes:
                await session.flush()
            assert await session.scalar(query) == (0 if IS_2_0 and not flushes else 1)


async def test_nothing_flushes_before_what_runs_on_the_connection_of_the_session(
    make_engine: MakeEngine,
) -> None:
    engine = make_engine()
    async with engine.begin() as connection:
        await connection.run_sync(Base.metadata.create_all)
    async with AsyncSession(engine) as session:
        session.add(Counted(drink="oolong"))
        connection = await session.connection()
        assert await connection.scalar(text("SELECT count(*) FROM counted")) == 0


async def test_an_update_that_counts_leaves_the_object_with_a_count_of_its_own(
    make_engine: MakeEngine,
) -> None:
    engine = make_engine()
    async with engine.begin() as connection:
        await connection.run_sync(Base.metadata.create_all)
        await connection.execute(insert(Tin), {"left": 9})
    one_less = update(Tin).values(left=Tin.left - 1)
    async with AsyncSession(engine, expire_on_commit=False) as session:
        tin = await session.get_one(Tin, 1)
        await session.commit()
        async with engine.begin() as other:
            await other.execute(update(Tin).values(left=2))
        assert await session.scalar(one_less.returning(Tin.left)) == 1
        assert tin.left == 8
        await session.refresh(tin)
        assert tin.left == 1


@pytest.mark.parametrize("flushes", [True, False])
async def test_refresh_drops_a_change_that_was_not_flushed(
    make_engine: MakeEngine, flushes: bool
) -> None:
    engine = make_engine()
    async with engine.begin() as connection:
        await connection.run_sync(Base.metadata.create_all)
        await connection.execute(insert(Tin), {"left": 9})
    async with AsyncSession(engine) as session:
        tin = await session.get_one(Tin, 1)
        tin.left = 8
        if flushes:
            await session.flush()
        await session.refresh(tin, with_for_update=True)
        assert tin.left == (8 if flushes else 9)


# A generator that somebody iterates by hand


@leaves_open
@pytest.mark.filterwarnings("ignore:The garbage collector is trying")
@pytest.mark.parametrize("connected", [True, False])
async def test_anext_leaves_a_generator_that_the_event_loop_closes_at_once(
    engine: AsyncEngine, connected: bool
) -> None:
    closed, told = asyncio.Event(), list[dict[str, Any]]()

    async def get_session() -> AsyncGenerator[AsyncSession, None]:
        try:
            async with AsyncSession(engine) as session:
                yield session
        finally:
            closed.set()

    loop = asyncio.get_running_loop()
    loop.set_exception_handler(lambda _, context: told.append(context))
    if connected:
        async with engine.connect():
            pass
    else:
        await engine.dispose()
    session = await anext(get_session())
    assert await session.scalar(text("SELECT 'oolong'")) == "oolong"
    await asyncio.wait_for(closed.wait(), 60)
    await session.scalar(text("SELECT 'oolong'"))
    assert checked_out(engine) >= 1
    await session.close()
    gc.collect()
    await eventually("the fault is told", lambda: connected or told)
    text_of = "another operation is in progress" if connected else "'close()' can't be called here"
    assert {context["message"] for context in told} <= {"Task exception was never retrieved"}
    assert all(text_of in str(context["exception"]) for context in told)


async def test_an_exception_in_the_loop_body_never_reaches_the_generator(
    engine: AsyncEngine,
) -> None:
    seen: list[type[BaseException]] = []
    ended = asyncio.Event()

    async def get_session() -> AsyncGenerator[AsyncSession, None]:
        try:
            async with AsyncSession(engine) as session:
                yield session
        except BaseException as error:
            seen.append(type(error))
            raise
        finally:
            ended.set()

    async def order() -> None:
        async for session in get_session():
            await session.execute(SELECT)
            raise LookupError("out of oolong")

    with pytest.raises(LookupError):
        await order()
    await ended.wait()
    assert seen == [GeneratorExit]
    assert checked_out(engine) == 0


# FastAPI


async def request(app: FastAPI, happened: list[str]) -> int:
    """Ask the app once, note when its answer has been sent, and return the status."""

    async def noted(scope: Any, receive: Any, send: Any) -> None:
        async def note(message: MutableMapping[str, Any]) -> None:
            await send(message)
            if message["type"] == "http.response.body" and not message.get("more_body"):
                happened.append("response")

        try:
            await app(scope, receive, note)
        except Exception as error:
            happened.append(f"{type(error).__name__}: {error}")
            raise

    transport = httpx.ASGITransport(noted, raise_app_exceptions=False)
    async with httpx.AsyncClient(transport=transport, base_url="http://teahouse") as client:
        return (await client.get("/")).status_code


@pytest.mark.parametrize(
    ("scope", "order"),
    [
        (None, ["endpoint", "response", "background", "after yield"]),
        ("function", ["endpoint", "after yield", "response", "background"]),
    ],
)
async def test_code_after_yield_runs_after_the_response_unless_scoped_to_the_function(
    scope: Any, order: list[str]
) -> None:
    happened: list[str] = []
    app = FastAPI()

    async def dependency() -> AsyncIterator[None]:
        yield
        happened.append("after yield")

    @app.get("/", dependencies=[Depends(dependency, scope=scope)])
    async def endpoint(background: BackgroundTasks) -> None:
        happened.append("endpoint")
        background.add_task(happened.append, "background")

    assert await request(app, happened) == 200
    assert happened == order


def test_the_page_names_the_fastapi_that_was_asked() -> None:
    require_on("sessions/dependency", f"FastAPI {version('fastapi')}")


async def committing(engine: AsyncEngine) -> AsyncIterator[AsyncSession]:
    async with AsyncSession(engine) as session:
        yield session
        await session.commit()


async def beginning(engine: AsyncEngine) -> AsyncIterator[AsyncSession]:
    async with AsyncSession(engine) as session, session.begin():
        yield session


@pytest.mark.parametrize("written", [committing, beginning])
@pytest.mark.parametrize(("scope", "status"), [(None, 200), ("function", 500)])
async def test_a_failed_commit_after_yield_is_seen_only_if_scoped_to_the_function(
    engine: AsyncEngine,
    scope: Any,
    status: int,
    written: Callable[[AsyncEngine], AsyncIterator[AsyncSession]],
) -> None:
    app = FastAPI()

    async def get_session() -> AsyncIterator[AsyncSession]:
        async for session in written(engine):
            yield session

    @app.get("/")
    async def endpoint(
        session: Annotated[AsyncSession, Depends(get_session, scope=scope)],
    ) -> None:
        await session.execute(
            text("CREATE TABLE orders (drink text UNIQUE DEFERRABLE INITIALLY DEFERRED)")
        )
        await session.execute(text("INSERT INTO orders VALUES ('oolong'), ('oolong')"))

    assert await request(app, []) == status


async def test_returning_an_expired_object_fails_while_the_response_is_built(
    engine: AsyncEngine,
) -> None:
    class Poured(BaseModel):
        model_config = ConfigDict(from_attributes=True)
        drink: str

    async with engine.begin() as connection:
        await connection.run_sync(Base.metadata.create_all)
    app = FastAPI()
    happened: list[str] = []

    async def get_session() -> AsyncIterator[AsyncSession]:
        async with AsyncSession(engine) as session:
            yield session

    @app.get("/", response_model=Poured)
    async def endpoint(session: Annotated[AsyncSession, Depends(get_session)]) -> Order:
        order = Order(drink="oolong")
        session.add(order)
        await session.commit()
        return order

    assert await request(app, happened) == 500
    assert happened[1].startswith("ResponseValidationError: ")
    assert "'type': 'get_attribute_error', 'loc': ('response', 'drink')" in happened[1]
    said = "Error extracting attribute: MissingGreenlet: greenlet_spawn has not been called"
    assert said in happened[1]
    require_on("sessions/dependency", said)


async def test_fastapi_does_not_read_the_return_annotation(engine: AsyncEngine) -> None:
    async def get_session() -> AsyncSession:  # type: ignore[misc]
        async with AsyncSession(engine) as session:
            yield session

    app = FastAPI()

    @app.get("/")
    async def endpoint(session: Annotated[AsyncSession, Depends(get_session)]) -> None:
        await session.execute(SELECT)

    assert await request(app, []) == 200
    assert checked_out(engine) == 0


async def test_an_http_exception_rolls_back_before_the_client_hears_of_it(
    engine: AsyncEngine,
) -> None:
    happened: list[str] = []
    app = FastAPI()

    async def get_session() -> AsyncIterator[AsyncSession]:
        try:
            async with AsyncSession(engine) as session:
                yield session
                await session.commit()
        except HTTPException:
            happened.append(f"raised, {checked_out(engine)} out")
            raise

    @app.get("/")
    async def endpoint(session: Annotated[AsyncSession, Depends(get_session)]) -> None:
        await session.execute(SELECT)
        raise HTTPException(404, "out of oolong")

    assert await request(app, happened) == 404
    assert happened == ["raised, 0 out", "response"]


async def test_a_request_has_one_session_however_often_it_is_asked_for(
    engine: AsyncEngine,
) -> None:
    async def get_session() -> AsyncIterator[AsyncSession]:
        async with AsyncSession(engine) as session:
            yield session

    Session = Annotated[AsyncSession, Depends(get_session)]
    app = FastAPI()

    async def barista(session: Session) -> AsyncSession:
        return session

    @app.get("/")
    async def endpoint(session: Session, same: Annotated[AsyncSession, Depends(barista)]) -> None:
        assert session is same

    assert await request(app, []) == 200


@pytest.mark.parametrize(
    ("login", "endpoint", "lent"),
    [
        ({}, {}, 1),
        ({}, {"use_cache": False}, 2),
        ({}, {"scope": "function"}, 2),
        ({"scope": "function"}, {"scope": "function"}, 1),
    ],
)
async def test_dependencies_written_alike_share_a_session_and_others_do_not(
    engine: AsyncEngine, login: dict[str, Any], endpoint: dict[str, Any], lent: int
) -> None:
    async def get_session() -> AsyncIterator[AsyncSession]:
        async with AsyncSession(engine) as session:
            yield session

    app = FastAPI()

    async def user(
        session: Annotated[AsyncSession, Depends(get_session, **login)],
    ) -> AsyncSession:
        await session.execute(SELECT)
        return session

    @app.get("/")
    async def answer(
        first: Annotated[AsyncSession, Depends(user)],
        second: Annotated[AsyncSession, Depends(get_session, **endpoint)],
    ) -> None:
        await second.execute(SELECT)
        assert (first is second, checked_out(engine)) == (lent == 1, lent)

    assert await request(app, []) == 200


async def test_a_commit_returns_the_connection_that_an_expired_attribute_borrowed(
    engine: AsyncEngine,
) -> None:
    async with engine.begin() as connection:
        await connection.run_sync(Base.metadata.create_all)
    async with AsyncSession(engine) as session:
        order = Order(drink="oolong")
        session.add(order)
        await session.commit()
        with pytest.raises(MissingGreenlet):
            _ = order.drink
        assert checked_out(engine) == 1
        await session.commit()
        assert checked_out(engine) == 0


@pytest.mark.parametrize(("scope", "held"), [(None, 1), ("function", 0)])
async def test_a_stream_holds_the_connection_unless_scoped_to_the_function(
    engine: AsyncEngine, scope: Any, held: int
) -> None:
    app = FastAPI()
    seen: list[int] = []

    async def get_session() -> AsyncIterator[AsyncSession]:
        async with AsyncSession(engine) as session:
            yield session

    @app.get("/")
    async def endpoint(
        session: Annotated[AsyncSession, Depends(get_session, scope=scope)],
    ) -> StreamingResponse:
        await session.execute(SELECT)

        async def stream() -> AsyncIterator[str]:
            seen.append(checked_out(engine))
            yield "oolong"

        return StreamingResponse(stream())

    assert await request(app, []) == 200
    assert seen == [held]
    assert checked_out(engine) == 0


async def test_the_factory_as_dependency_asks_for_a_query_parameter(engine: AsyncEngine) -> None:
    app = FastAPI()

    @app.get("/")
    async def endpoint(
        session: Annotated[AsyncSession, Depends(async_sessionmaker(engine))],
    ) -> None: ...

    async with through(app) as client:
        answer = await client.get("/")
    assert answer.status_code == 422
    [missing] = answer.json()["detail"]
    assert (missing["loc"], missing["msg"]) == (["query", "local_kw"], "Field required")


async def test_a_lambda_that_makes_the_session_leaves_a_connection_lent(
    engine: AsyncEngine,
) -> None:
    app = FastAPI()
    async_session = async_sessionmaker(engine)
    kept: list[AsyncSession] = []

    @app.get("/")
    async def endpoint(
        session: Annotated[AsyncSession, Depends(lambda: async_session())],
    ) -> None:
        kept.append(session)
        await session.execute(SELECT)

    for requests in 1, 2:
        assert await request(app, []) == 200
        assert checked_out(engine) == requests
    for session in kept:
        await session.close()
    assert checked_out(engine) == 0


def test_a_generator_as_dependency_is_refused_at_the_import() -> None:
    async def get_session() -> AsyncIterator[int]:
        yield 1

    async def endpoint(session: Annotated[int, Depends(get_session())]) -> None: ...

    with pytest.raises(TypeError, match="is not a callable object"):
        FastAPI().get("/")(endpoint)


async def test_what_is_no_session_has_no_execute_and_borrows_no_connection(
    engine: AsyncEngine,
) -> None:
    async_session: Any = async_sessionmaker(engine)

    async def get_session() -> AsyncIterator[AsyncSession]:
        async with async_session() as session:
            yield session

    called: Any = get_session()
    entered: Any = asynccontextmanager(get_session)()
    for held, name in (
        (called, "async_generator"),
        (entered, "_AsyncGeneratorContextManager"),
        (async_session, "async_sessionmaker"),
    ):
        with pytest.raises(AttributeError, match=f"'{name}' object has no attribute 'execute'"):
            await held.execute(SELECT)
    assert checked_out(engine) == 0


async def test_depends_wants_the_function_without_a_decorator(engine: AsyncEngine) -> None:
    @asynccontextmanager
    async def session_scope() -> AsyncIterator[AsyncSession]:
        async with AsyncSession(engine) as session:
            yield session

    app = FastAPI()

    @app.get("/")
    async def endpoint(session: Annotated[Any, Depends(session_scope)]) -> None:
        await session.execute(SELECT)

    async with through(app) as client:
        said = "'_AsyncGeneratorContextManager' object is not an async iterator"
        with pytest.raises(TypeError, match=said):
            await client.get("/")
