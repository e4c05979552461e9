"""What the page on leaks claims beyond the lines that its snippets print."""

import asyncio
import gc
import os
import sys
import traceback
import tracemalloc
import warnings
import weakref
from collections.abc import Awaitable, Callable, Iterator
from contextlib import AbstractContextManager
from pathlib import Path
from types import ModuleType
from typing import Any

import greenlet  # type: ignore[import-untyped]
import httpx
import pytest
import sqlalchemy
from fastapi import FastAPI
from sqlalchemy import Engine, Pool, create_engine, event, text
from sqlalchemy.exc import DBAPIError, MissingGreenlet, SAWarning
from sqlalchemy.ext.asyncio import (
    AsyncEngine,
    AsyncSession,
    async_scoped_session,
    async_sessionmaker,
    create_async_engine,
)
from sqlalchemy.orm import DeclarativeBase, Mapped, Session, mapped_column, scoped_session
from sqlalchemy.pool import NullPool, QueuePool

from tests.loading import load_snippet
from tests.pools import MakeEngine, both_drivers, checked_out, engine_for, with_psycopg
from tests.report import require_on
from tests.waiting import eventually
from tools.paths import ROOT
from tools.proof.snippets import OUTPUT

SNIPPETS = ROOT / "snippets/sessions/leaks"
SELECT = text("SELECT 'oolong'")
BACKENDS = text("""
    SELECT count(*) FROM pg_stat_activity
    WHERE datname = current_database() AND application_name = 'forgotten'
""")

pytestmark = pytest.mark.filterwarnings("ignore:The garbage collector")


@pytest.fixture
def engine(make_engine: MakeEngine) -> AsyncEngine:
    return make_engine()


@pytest.fixture
def no_collection() -> Iterator[None]:
    """The collector comes only when the test calls it."""
    gc.collect()
    gc.disable()
    yield
    gc.enable()


@pytest.fixture
def finder() -> Iterator[dict[str, Any]]:
    """The finder as a module of an application, until the test ends."""
    finder = load_snippet("sessions/leaks/finder.py")
    yield finder
    stop_listening(finder)


@pytest.fixture
def blamed() -> Iterator[dict[str, Any]]:
    """The other listeners, which have the collector name the line."""
    blamed = load_snippet("sessions/leaks/blamed.py")
    yield blamed
    stop_listening(blamed)


LISTENERS = [
    ("checkout", "borrow"), ("checkin", "give_back"), ("detach", "give_back"), ("reset", "blame")
]  # fmt: skip


def stop_listening(names: dict[str, Any]) -> None:
    for what, listener in LISTENERS:
        if listener in names:
            event.remove(Pool, what, names[listener])


def names_of(finder: dict[str, Any]) -> list[list[str]]:
    """For each connection that is out, the functions that took it."""
    return [[frame.name for frame in frames] for _, frames in finder["lent"].values()]


# What the collector finds, and when


async def open_session(engine: AsyncEngine) -> None:
    await AsyncSession(engine).execute(SELECT)


async def committed_session(engine: AsyncEngine) -> None:
    session = AsyncSession(engine)
    await session.execute(SELECT)
    await session.commit()


async def open_connection(engine: AsyncEngine) -> None:
    await (await engine.connect()).execute(SELECT)


async def committed_connection(engine: AsyncEngine) -> None:
    connection = await engine.connect()
    await connection.execute(SELECT)
    await connection.commit()


@pytest.mark.parametrize(
    ("lose", "left"),
    [
        (open_session, 1),
        (committed_session, 0),
        (open_connection, 1),
        (committed_connection, 0),
    ],
)
@pytest.mark.usefixtures("no_collection")
async def test_only_an_open_transaction_has_to_wait_for_a_collection(
    engine: AsyncEngine, lose: Callable[[AsyncEngine], Awaitable[None]], left: int
) -> None:
    await lose(engine)
    assert checked_out(engine) == left
    gc.collect()
    assert checked_out(engine) == 0


class Waiter:
    """A service that opens its session when it is made."""

    def __init__(self, factory: async_sessionmaker[AsyncSession]) -> None:
        self.session = factory()


@pytest.mark.parametrize(("commit", "left"), [(False, 3), (True, 0)])
@pytest.mark.usefixtures("no_collection")
async def test_a_session_of_each_instance_is_out_until_it_commits_or_is_collected(
    engine: AsyncEngine, commit: bool, left: int
) -> None:
    waiters = [Waiter(async_sessionmaker(engine)) for _ in range(3)]
    for waiter in waiters:
        await waiter.session.execute(SELECT)
        if commit:
            await waiter.session.commit()
    gc.collect()
    assert checked_out(engine) == left, "somebody refers to the waiters"
    waiters.clear()
    del waiter
    assert checked_out(engine) == left, "nobody does, and the collector has not come"
    gc.collect()
    assert checked_out(engine) == 0


async def test_what_somebody_still_holds_is_never_collected(engine: AsyncEngine) -> None:
    kept = AsyncSession(engine)
    await kept.execute(SELECT)
    gc.collect()
    assert checked_out(engine) == 1
    await kept.close()
    assert checked_out(engine) == 0


@pytest.mark.usefixtures("no_collection")
async def test_an_exception_that_is_kept_keeps_the_session_of_its_traceback(
    engine: AsyncEngine,
) -> None:
    async def order() -> None:
        session = AsyncSession(engine)
        await session.execute(SELECT)
        raise LookupError("out of oolong")

    kept: list[LookupError] = []
    try:
        await order()
    except LookupError as error:
        kept.append(error)
    gc.collect()
    assert checked_out(engine) == 1
    kept.clear()
    gc.collect()
    assert checked_out(engine) == 0


@pytest.mark.usefixtures("no_collection")
def test_the_collector_returns_a_connection_of_synchronous_code_unless_it_is_kept(
    database_url: str,
) -> None:
    engine = create_engine(with_psycopg(database_url))
    assert isinstance(engine.pool, QueuePool)
    opened: list[object] = []
    event.listen(engine, "connect", lambda *_: opened.append(_))

    def forget() -> Session:
        session = Session(engine)
        session.execute(SELECT)
        return session

    forget()
    with warnings.catch_warnings(record=True, action="always") as said:
        gc.collect()
    assert (said, engine.pool.checkedout()) == ([], 0)
    kept = forget()
    gc.collect()
    assert engine.pool.checkedout() == 1
    kept.close()
    assert len(opened) == 1, "what was collected was lent again"
    engine.dispose()


@pytest.mark.usefixtures("no_collection")
async def test_a_forgotten_engine_keeps_its_connections_open(
    database_url: str, make_engine: MakeEngine
) -> None:
    async def request() -> None:
        settings = {"server_settings": {"application_name": "forgotten"}}
        engine = create_async_engine(database_url, connect_args=settings)
        async with AsyncSession(engine) as session:
            await session.execute(SELECT)

    async def backends() -> int:
        async with make_engine(poolclass=NullPool).connect() as connection:
            return int(await connection.scalar(BACKENDS) or 0)

    with warnings.catch_warnings(record=True, action="always") as caught:
        for _ in range(3):
            await request()
        assert await backends() == 3
        caught.clear()
        gc.collect()
        said = {(w.category, str(w.message).partition(" <")[0]) for w in caught}
        async with asyncio.timeout(30):
            while await backends():
                continue
    assert (ResourceWarning, "unclosed connection") in said, "asyncpg's"
    assert not any(issubclass(category, SAWarning) for category, _ in said)


@pytest.mark.parametrize(
    ("options", "dispose", "left"),
    [
        ({}, "", 3),
        ({"pool_recycle": 0}, "", 3),
        ({"poolclass": NullPool}, "", 0),
        ({}, "at the end", 3),
        ({}, "in finally", 0),
    ],
    ids=["pool", "recycle", "NullPool", "dispose at the end", "dispose in finally"],
)
async def test_an_engine_for_one_call_that_fails_leaves_nothing_without_a_pool_or_disposed(
    make_engine: MakeEngine, options: dict[str, Any], dispose: str, left: int
) -> None:
    settings = {"server_settings": {"application_name": "forgotten"}}

    async def call(engine: AsyncEngine) -> None:
        try:
            async with engine.connect() as connection:
                await connection.execute(text("SELECT 1 / 0"))
            if dispose == "at the end":
                await engine.dispose()
        finally:
            if dispose == "in finally":
                await engine.dispose()

    for _ in range(3):
        with pytest.raises(DBAPIError, match="division by zero"):
            await call(make_engine(connect_args=settings, **options))

    async def counted() -> bool:
        async with make_engine(poolclass=NullPool).connect() as connection:
            return bool(await connection.scalar(BACKENDS) == left)

    await eventually(f"{left} backends are there", counted)


# Third parties


@pytest.mark.usefixtures("no_collection")
async def test_a_library_that_connects_by_itself_leaks_although_the_session_is_closed(
    engine: AsyncEngine,
) -> None:
    def paginate(session: Session) -> None:
        bind = session.get_bind()
        assert isinstance(bind, Engine)
        bind.connect().execute(SELECT)

    async with AsyncSession(engine) as session:
        await session.run_sync(paginate)
    assert checked_out(engine) == 1
    gc.collect()
    assert checked_out(engine) == 0


# Finding the line


async def test_only_the_parent_greenlet_leads_to_the_line_that_took_the_connection(
    engine: AsyncEngine,
) -> None:
    found: dict[str, bool] = {}

    @event.listens_for(engine.sync_engine, "checkout")
    def look(*_: object) -> None:
        task = asyncio.current_task()
        assert task
        above = traceback.walk_stack(greenlet.getcurrent().parent.gr_frame)
        stacks = {
            "extract_stack": [frame.name for frame in traceback.extract_stack()[:-1]],
            "get_stack": [frame.f_code.co_name for frame in task.get_stack()],
            "parent": [frame.f_code.co_name for frame, _ in above],
        }
        found.update({name: "order_tea" in stack for name, stack in stacks.items()})

    async def order_tea(session: AsyncSession) -> None:
        await session.execute(SELECT)

    async with AsyncSession(engine) as session:
        await order_tea(session)
    assert found == {"extract_stack": False, "get_stack": False, "parent": True}


async def test_the_finder_names_the_endpoint_of_an_application(
    engine: AsyncEngine, finder: dict[str, Any]
) -> None:
    app = FastAPI()
    leaked: list[AsyncSession] = []

    def latest(session: Session) -> None:
        session.execute(SELECT)

    @app.get("/directly")
    async def directly() -> None:
        leaked.append(AsyncSession(engine))
        await leaked[-1].execute(SELECT)

    @app.get("/run_sync")
    async def through_run_sync() -> None:
        leaked.append(AsyncSession(engine))
        await leaked[-1].run_sync(latest)

    @app.get("/healthy")
    async def healthy() -> None:
        async with AsyncSession(engine) as session:
            await session.execute(SELECT)

    transport = httpx.ASGITransport(app)
    async with httpx.AsyncClient(transport=transport, base_url="http://teahouse") as client:
        for path in ("/directly", "/healthy", "/run_sync"):
            assert (await client.get(path)).status_code == 200
    taken = names_of(finder)
    assert [names[0] for names in taken] == ["directly", "latest"]
    assert taken[1][1] == "through_run_sync"
    frame = next(iter(finder["lent"].values()))[1][0]
    assert frame.filename == __file__
    assert frame.line == "await leaked[-1].execute(SELECT)"

    for session in leaked:
        await session.close()
    assert not finder["lent"]


@pytest.mark.usefixtures("no_collection")
async def test_the_finder_forgets_what_was_collected_and_outlives_a_dispose(
    engine: AsyncEngine, finder: dict[str, Any]
) -> None:
    for _ in range(2):
        await open_session(engine)
        assert len(finder["lent"]) == 1
        gc.collect()
        assert not finder["lent"]
        await engine.dispose()


async def test_a_task_made_of_the_call_itself_has_no_line_of_yours(
    engine: AsyncEngine, finder: dict[str, Any]
) -> None:
    async def order() -> None:
        async with AsyncSession(engine) as one, AsyncSession(engine) as other:
            await one.execute(SELECT)
            await asyncio.gather(other.execute(SELECT))
            named.extend("order" in names for names in names_of(finder))

    named: list[bool] = []
    await order()
    assert named == [True, False]


class Base(DeclarativeBase):
    pass


class Order(Base):
    __tablename__ = "orders"
    id: Mapped[int] = mapped_column(primary_key=True)


@pytest.mark.parametrize("watching", ["finder", "blamed"])
async def test_outside_a_greenlet_the_listener_does_not_replace_missing_greenlet(
    engine: AsyncEngine, watching: str, request: pytest.FixtureRequest
) -> None:
    names: dict[str, Any] = request.getfixturevalue(watching)
    async with engine.begin() as connection:
        await connection.run_sync(Base.metadata.create_all)
    async with AsyncSession(engine) as session:
        session.add(order := Order())
        await session.commit()
        with pytest.raises(MissingGreenlet):
            print(order.id)
        if watching == "finder":
            assert names_of(names)[0][0] == (
                "test_outside_a_greenlet_the_listener_does_not_replace_missing_greenlet"
            )


async def test_the_finder_watches_all_engines_of_the_process_synchronous_ones_too(
    engine: AsyncEngine, finder: dict[str, Any]
) -> None:
    other = create_async_engine(engine.url)
    plain = create_engine(with_psycopg(engine.url))

    def synchronous() -> None:
        with plain.connect():
            assert names_of(finder)[2][:1] == ["synchronous"]

    async with AsyncSession(engine) as one, AsyncSession(other) as two:
        await one.execute(SELECT)
        await two.execute(SELECT)
        await asyncio.to_thread(synchronous)
        assert len(finder["lent"]) == 2
    assert not finder["lent"]
    await other.dispose()
    plain.dispose()


async def test_the_finder_knows_an_application_that_is_itself_an_installed_package(
    engine: AsyncEngine, tmp_path: Path
) -> None:
    package = load_snippet("sessions/leaks/finder.py", __name__="teahouse.db")
    package["LIBRARIES"] = (*package["LIBRARIES"], str(tmp_path))
    library, shop = ModuleType("othershop.orders"), ModuleType("teahouse.orders")
    source = "async def {}(session, statement):\n    await session.execute(statement)\n"
    for module, function in ((library, "theirs"), (shop, "ours")):
        file = tmp_path / f"{function}.py"
        file.write_text(source.format(function), "utf-8")
        exec(compile(file.read_text("utf-8"), str(file), "exec"), module.__dict__)
    async with AsyncSession(engine) as session, AsyncSession(engine) as another:
        await shop.ours(session, SELECT)
        await library.theirs(another, SELECT)
        first, second = names_of(package)
    assert first[0] == "ours"
    assert second[0].startswith("test_the_finder_knows"), "a library's line is left out"
    stop_listening(package)


@pytest.mark.parametrize("snippet", ["finder.py", "blamed.py"])
async def test_libraries_are_left_out_where_sqlalchemy_is_installed_beside_the_environment(
    engine: AsyncEngine, tmp_path: Path, snippet: str
) -> None:
    (tmp_path / "sqlalchemy").symlink_to(Path(sqlalchemy.__file__).parent)
    program = await asyncio.create_subprocess_exec(
        sys.executable,
        SNIPPETS / snippet,
        env={
            **os.environ,
            "DATABASE_URL": engine.url.render_as_string(hide_password=False),
            "PYTHONPATH": str(tmp_path),  # as after pip install --target
        },
        stdout=asyncio.subprocess.PIPE,
    )
    printed, _ = await program.communicate()
    source = (SNIPPETS / snippet).read_text("utf-8")
    assert printed.decode().splitlines() == [
        OUTPUT.sub("", line) for line in source.splitlines() if OUTPUT.match(line)
    ]


async def test_the_finder_forgets_a_connection_that_the_server_cut(
    engine: AsyncEngine, finder: dict[str, Any]
) -> None:
    kill = text("SELECT pg_terminate_backend(:pid)")
    watcher = create_async_engine(engine.url, poolclass=NullPool)
    async with AsyncSession(engine) as session:
        pid = await session.scalar(text("SELECT pg_backend_pid()"))
        async with watcher.connect() as connection:
            await connection.execute(kill, {"pid": pid})
        with pytest.raises(DBAPIError):
            await session.execute(SELECT)
        await session.rollback()
        await session.execute(SELECT)
        assert len(finder["lent"]) == 1
    assert not finder["lent"]


@pytest.mark.usefixtures("no_collection")
async def test_the_collector_names_the_lost_and_says_no_word_of_those_returned(
    engine: AsyncEngine, blamed: dict[str, Any], capsys: pytest.CaptureFixture[str]
) -> None:
    async with AsyncSession(engine) as session:
        await session.execute(SELECT)
    assert capsys.readouterr().out == ""
    lost = AsyncSession(engine)
    await lost.execute(SELECT)
    stop_listening(blamed)
    event.listen(Pool, "reset", blamed["blame"])
    await open_session(engine)  # taken while nobody listened
    del lost
    gc.collect()
    event.listen(Pool, "checkout", blamed["borrow"])  # as the fixture left it
    assert "lost by test_the_collector_names_the_lost" in capsys.readouterr().out


# Closed without await


@pytest.mark.usefixtures("no_collection")
async def test_a_session_closed_without_await_is_not_closed(engine: AsyncEngine) -> None:
    factory: Any = async_sessionmaker(engine)
    registry = scoped_session(factory, asyncio.current_task)

    async def leak(registered: bool) -> None:
        session = registry() if registered else factory()
        await session.execute(SELECT)
        (registry.remove if registered else session.close)()

    for registered in (False, True):
        with warnings.catch_warnings(record=True, action="always") as caught:
            await asyncio.create_task(leak(registered))
        said = [str(warning.message) for warning in caught]
        assert len(said) == 1 + registered
        for message in said:
            require_on("sessions/leaks", message)
        assert checked_out(engine) == 1
        caught.clear()
        gc.collect()
        assert checked_out(engine) == 0


async def test_remove_without_a_session_takes_no_connection(engine: AsyncEngine) -> None:
    scoped = async_scoped_session(async_sessionmaker(engine), asyncio.current_task)
    events: list[str] = []
    event.listen(engine.sync_engine, "checkout", lambda *_: events.append("checkout"))
    await scoped.remove()
    assert events == []
    assert not scoped.registry.has()


@pytest.mark.usefixtures("no_collection")
async def test_the_registry_keeps_results_of_tasks_and_unsaved_changes_and_nothing_read(
    engine: AsyncEngine,
) -> None:
    async with engine.begin() as connection:
        await connection.run_sync(Base.metadata.create_all)
    scoped = async_scoped_session(async_sessionmaker(engine), asyncio.current_task)
    loaded: dict[str, weakref.ref[Order]] = {}

    async def guest(way: str) -> Order | None:
        order = Order()
        scoped.add(order)
        await scoped.flush()
        if way == "changed":
            order.id += 10
        loaded[way] = weakref.ref(order)
        return order if way == "returned" else None

    for way in ("read", "changed", "returned"):
        await asyncio.create_task(guest(way))
    gc.collect()
    assert [way for way, order in loaded.items() if order()] == ["changed", "returned"]
    for session in scoped.registry.registry.values():
        await session.close()


@both_drivers
async def test_connecting_again_and_again_leaves_no_memory_behind(
    database_url: str, make_engine: MakeEngine, driver: str
) -> None:
    engine = engine_for(make_engine, database_url, driver, poolclass=NullPool)

    async def connect(times: int) -> int:
        """The bytes that Python holds afterwards."""
        for _ in range(times):
            async with engine.connect() as connection:
                await connection.execute(SELECT)
        gc.collect()
        return tracemalloc.get_traced_memory()[0]

    tracemalloc.start()
    try:
        before = await connect(30)  # which fills the caches
        assert await connect(100) - before < 32 * 1024
    finally:
        tracemalloc.stop()


# The helper for tests


NoLeaks = Callable[[AsyncEngine], AbstractContextManager[None]]


@pytest.fixture
def no_leaks() -> NoLeaks:
    """The page's helper."""
    helper: NoLeaks = load_snippet("sessions/leaks/in_tests.py")["no_leaks"]
    return helper


@pytest.mark.parametrize("poolclass", [None, NullPool])
@pytest.mark.usefixtures("no_collection")
async def test_the_helper_sees_a_leak_that_was_collected_already(
    no_leaks: NoLeaks, make_engine: MakeEngine, poolclass: type[NullPool] | None
) -> None:
    engine = make_engine(poolclass=poolclass)
    with no_leaks(engine):
        async with AsyncSession(engine) as session:
            await session.execute(SELECT)

    async def leaking_test() -> None:
        with no_leaks(engine):
            await open_session(engine)
            gc.collect()
            async with AsyncSession(engine) as session:
                await session.execute(SELECT)

    with pytest.raises(AssertionError, match="connections lost: 1"):
        await leaking_test()
    with no_leaks(engine):
        await session.execute(SELECT)
        await session.close()
    await engine.dispose()


async def test_a_connection_taken_before_the_test_and_returned_in_it_is_no_leak(
    engine: AsyncEngine, no_leaks: NoLeaks
) -> None:
    before = AsyncSession(engine)
    await before.execute(SELECT)
    with no_leaks(engine):
        await before.close()
    await before.execute(SELECT)

    async def leaking_test() -> None:
        with no_leaks(engine):
            await before.close()
            await before.execute(SELECT)

    with pytest.raises(AssertionError, match="connections lost: 1"):
        await leaking_test()
    await before.close()


async def test_a_detached_connection_counts_as_a_leak(
    engine: AsyncEngine, no_leaks: NoLeaks
) -> None:
    with pytest.raises(AssertionError, match="connections lost: 1"), no_leaks(engine):
        async with engine.connect() as connection:
            await connection.run_sync(lambda connection: connection.detach())
