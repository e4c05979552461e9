"""What the page on testing frameworks says beyond the outcomes of its projects."""

import asyncio
import threading
import warnings
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Annotated, Literal

import pytest
from fastapi import BackgroundTasks, Depends, FastAPI, Request, WebSocket
from fastapi.responses import StreamingResponse
from httpx import ASGITransport, AsyncClient
from sqlalchemy import Column, MetaData, Table, Text, func, insert, select, text
from sqlalchemy.exc import DBAPIError
from sqlalchemy.ext.asyncio import AsyncEngine, AsyncSession, async_sessionmaker

from tests.pools import MakeEngine, checked_out, leaves_open, with_psycopg
from tests.serving import serving, through
from tests.testing.readers import run_source
from tests.waiting import DEADLINE
from tools.paths import SNIPPETS
from tools.proof.projects import copy_project

with warnings.catch_warnings(action="ignore"):  # Starlette asks for httpx2
    from fastapi.testclient import TestClient

ONE = text("SELECT 'longjing'")
SETTINGS = """[tool.pytest.ini_options]
asyncio_mode = "auto"
asyncio_default_fixture_loop_scope = "session"
asyncio_default_test_loop_scope = "session"
"""
TASK_GROUP = """
import anyio, pytest
from contextlib import asynccontextmanager
from fastapi import FastAPI

@asynccontextmanager
async def lifespan(app):
    async with anyio.create_task_group():
        yield

app = FastAPI(lifespan=lifespan)

@pytest.fixture(scope="session")
def anyio_backend(): return "asyncio"
"""
ANOTHER_OVERRIDE = """
from shop import app

def signed_in(): pass
app.dependency_overrides[signed_in] = signed_in

def test_one(client): pass
def test_two(client): assert signed_in in app.dependency_overrides
"""
LITESTAR = "\nfrom litestar import Litestar\napp = Litestar([])\n"
ENTERED = """
@pytest.fixture(scope="session")
async def started():
    async with {}: yield
{}
async def test_tea(started): pass
"""
OTHER_TASK = "Attempted to exit cancel scope in a different task than it was entered in"


def pouring(engine: AsyncEngine) -> FastAPI:
    """An application that asks the engine once for each request."""
    app = FastAPI()

    @app.get("/")
    async def pour() -> str:
        async with engine.connect() as connection:
            return str(await connection.scalar(ONE))

    return app


def run(folder: Path, url: str, source: str) -> str:
    """Run one test file as a reader does; what pytest said."""
    return run_source(source, folder, url, "--tb=no", settings=SETTINGS).stdout


@pytest.mark.parametrize(
    ("made", "entered"),
    [("", "app.router.lifespan_context(app)"), (LITESTAR, "app.lifespan()")],
    ids=["FastAPI", "Litestar"],
)
def test_a_lifespan_with_a_task_group_ends_in_another_task(
    made: str, entered: str, tmp_path: Path, database_url: str
) -> None:
    said = run(tmp_path, database_url, TASK_GROUP + made + ENTERED.format(entered, ""))
    assert OTHER_TASK in said
    assert "1 passed, 1 error" in said


def test_with_the_plugin_of_anyio_a_lifespan_with_a_task_group_passes(
    tmp_path: Path, database_url: str
) -> None:
    entered = ENTERED.format("app.router.lifespan_context(app)", "@pytest.mark.anyio")
    said = run(tmp_path, database_url, TASK_GROUP + entered)
    assert OTHER_TASK not in said
    assert "1 passed in" in said


async def test_asgi_transport_hands_no_lifespan_state_to_a_request() -> None:
    @asynccontextmanager
    async def lifespan(app: FastAPI) -> AsyncIterator[dict[str, str]]:
        yield {"tea": "oolong"}

    app = FastAPI(lifespan=lifespan)

    @app.get("/")
    async def pour(request: Request) -> str:
        return str(request.state.tea)

    async with app.router.lifespan_context(app), through(app) as client:
        with pytest.raises(AttributeError, match="'State' object has no attribute 'tea'"):
            await client.get("/")
    with TestClient(app) as in_a_thread:
        assert in_a_thread.get("/").json() == "oolong"


async def test_asgi_transport_raises_the_error_of_the_endpoint() -> None:
    app = FastAPI()

    @app.get("/")
    async def spill() -> None:
        raise RuntimeError("spilled")

    async with through(app) as client:
        with pytest.raises(RuntimeError, match="spilled"):
            await client.get("/")
    with pytest.raises(RuntimeError, match="spilled"):
        TestClient(app).get("/")
    transport = ASGITransport(app, raise_app_exceptions=False)
    async with AsyncClient(transport=transport, base_url="http://shop") as client:
        assert (await client.get("/")).status_code == 500


@leaves_open
def test_with_psycopg_three_requests_pass_without_with(
    make_engine: MakeEngine, database_url: str
) -> None:
    client = TestClient(pouring(make_engine(with_psycopg(database_url))))
    assert [client.get("/").json() for _ in range(3)] == ["longjing"] * 3


async def test_a_session_of_the_tests_loop_fails_in_that_of_test_client(
    make_engine: MakeEngine,
) -> None:
    app = FastAPI()

    def get_session() -> AsyncSession:
        raise AssertionError

    @app.get("/")
    async def pour(session: Annotated[AsyncSession, Depends(get_session)]) -> str:
        return str(await session.scalar(ONE))

    async with make_engine().connect() as connection:
        await connection.begin()
        app.dependency_overrides[get_session] = lambda: AsyncSession(connection)
        with TestClient(app) as client, pytest.raises(RuntimeError, match="different loop"):
            client.get("/")
        await connection.invalidate()


@pytest.mark.filterwarnings("ignore:nested transaction already deassociated")
async def test_requests_side_by_side_break_each_others_savepoints(
    make_engine: MakeEngine,
) -> None:
    app, first_begun = FastAPI(), asyncio.Event()
    second_begun, first_committed = asyncio.Event(), asyncio.Event()
    async with make_engine().connect() as connection:
        await connection.begin()
        sessions = async_sessionmaker(connection, join_transaction_mode="create_savepoint")

        @app.get("/first")
        async def first() -> None:
            async with sessions() as session:
                await session.execute(ONE)
                first_begun.set()
                await second_begun.wait()
                await session.commit()
            first_committed.set()

        @app.get("/second")
        async def second() -> None:
            async with sessions() as session:
                await session.execute(ONE)
                second_begun.set()
                await first_committed.wait()
                await session.commit()

        async with through(app) as client:
            committing = asyncio.create_task(client.get("/first"))
            await first_begun.wait()
            with pytest.raises(DBAPIError, match="does not exist"):
                await client.get("/second")
            assert (await committing).status_code == 200


@pytest.mark.filterwarnings("ignore")
@leaves_open
async def test_a_connection_that_a_fixture_leaves_in_the_pool_fails_in_test_client(
    make_engine: MakeEngine,
) -> None:
    engine = make_engine()
    async with engine.connect() as connection:
        await connection.execute(ONE)
    with TestClient(pouring(engine)) as client, pytest.raises(RuntimeError, match="different loop"):
        client.get("/")


@pytest.mark.parametrize("project", ["async_client", "sync_client"])
def test_overrides_of_others_outlive_a_test(
    project: str, tmp_path: Path, database_url: str
) -> None:
    copy_project(SNIPPETS / "testing/frameworks" / project / "test_orders.py", tmp_path)
    (tmp_path / "test_orders.py").unlink()
    said = run(tmp_path, database_url, ANOTHER_OVERRIDE)
    assert "2 passed" in said, "the fixture took away an override that is not its own"


async def test_a_translated_schema_does_not_reach_sql_in_text(make_engine: MakeEngine) -> None:
    translate = {"schema_translate_map": {None: "of_the_tests"}}
    orders = Table("orders", MetaData(), Column("tea", Text))
    async with make_engine(execution_options=translate).begin() as connection:
        await connection.execute(text("CREATE SCHEMA of_the_tests"))
        await connection.run_sync(orders.metadata.create_all)
        await connection.execute(insert(orders).values(tea="longjing"))
        await connection.execute(text("CREATE TABLE orders (tea text)"))
        assert await connection.scalar(select(func.count()).select_from(orders)) == 1
        assert await connection.scalar(text("SELECT count(*) FROM orders")) == 0


async def test_a_factory_that_is_configured_is_another_for_all_who_imported_it(
    make_engine: MakeEngine,
) -> None:
    engine = make_engine()
    async_session = async_sessionmaker(engine)
    imported = async_session

    async def work() -> None:
        async with imported() as session:
            await session.execute(text("CREATE TABLE cups (tea text)"))
            await session.commit()

    made = text("SELECT to_regclass('cups') IS NOT NULL")
    async with engine.connect() as connection:
        outer = await connection.begin()
        async_session.configure(bind=connection, join_transaction_mode="create_savepoint")
        await work()
        assert await connection.scalar(made)
        await outer.rollback()
    async_session.configure(bind=engine)
    async with imported() as session:
        assert not await session.scalar(made)
    await work()
    async with imported() as session:
        assert await session.scalar(made), "with the engine its commits are real again"


@pytest.mark.parametrize("scope", ["function", "request"])
async def test_an_override_holds_for_both_scopes_until_it_is_removed(
    scope: Literal["function", "request"],
) -> None:
    app = FastAPI()

    def get_tea() -> str:
        return "longjing"

    def oolong() -> str:
        return "oolong"

    @app.get("/")
    async def pour(tea: Annotated[str, Depends(get_tea, scope=scope)]) -> str:
        return tea

    app.dependency_overrides[get_tea] = oolong
    async with through(app) as client:
        assert (await client.get("/")).json() == "oolong"
        app.dependency_overrides.clear()
        assert (await client.get("/")).json() == "longjing"


async def test_an_override_does_not_reach_an_application_that_is_mounted() -> None:
    app, mounted = FastAPI(), FastAPI()

    def get_tea() -> str:
        return "longjing"

    @mounted.get("/")
    async def pour(tea: Annotated[str, Depends(get_tea)]) -> str:
        return tea

    app.include_router(mounted.router, prefix="/included")
    app.mount("/mounted", mounted)
    app.dependency_overrides[get_tea] = lambda: "oolong"
    async with through(app) as client:
        assert (await client.get("/included/")).json() == "oolong"
        assert (await client.get("/mounted/")).json() == "longjing"
        mounted.dependency_overrides[get_tea] = lambda: "oolong"
        assert (await client.get("/mounted/")).json() == "oolong"


async def test_with_both_clients_a_response_comes_after_background_tasks(
    make_engine: MakeEngine,
) -> None:
    engine, done = make_engine(), [""]
    app = FastAPI()

    async def get_session() -> AsyncIterator[AsyncSession]:
        async with AsyncSession(engine) as session:
            yield session

    @app.get("/")
    async def pour(
        background: BackgroundTasks, session: Annotated[AsyncSession, Depends(get_session)]
    ) -> None:
        await session.execute(ONE)
        background.add_task(wash_up)

    async def wash_up() -> None:
        await asyncio.sleep(0.1)  # long enough for a response to overtake it
        done.append("washed up")

    async with through(app) as client:
        await client.get("/")
        assert (checked_out(engine), done.pop()) == (0, "washed up")
    await engine.dispose()
    with TestClient(app) as in_a_thread:
        assert in_a_thread.portal
        in_a_thread.get("/")
        assert (checked_out(engine), done.pop()) == (0, "washed up")
        in_a_thread.portal.call(engine.dispose)


async def test_with_uvicorn_a_response_comes_before_its_background_task() -> None:
    app, washed_up = FastAPI(), asyncio.Event()

    @app.get("/")
    async def pour(background: BackgroundTasks) -> None:
        background.add_task(washed_up.wait)

    async with serving(app) as client:
        assert (await client.get("/")).status_code == 200
        washed_up.set()


async def test_an_endless_stream_gives_asgi_transport_no_response() -> None:
    app, third = FastAPI(), asyncio.Event()

    @app.get("/")
    async def pour() -> StreamingResponse:
        async def cups() -> AsyncIterator[str]:
            for _ in range(3):
                yield "cup"
            third.set()
            await asyncio.Event().wait()

        return StreamingResponse(cups())

    async with through(app) as client:
        reading = asyncio.create_task(client.send(client.build_request("GET", "/"), stream=True))
        await third.wait()
        assert not reading.done()
        reading.cancel()
        with pytest.raises(asyncio.CancelledError):
            await reading


def test_after_close_within_the_block_the_handler_of_a_websocket_goes_on() -> None:
    app, told, washed_up = FastAPI(), threading.Event(), threading.Event()

    @app.websocket("/")
    async def pour(socket: WebSocket) -> None:
        await socket.accept()
        async for _ in socket.iter_text():
            pass
        told.set()
        await asyncio.sleep(0.1)  # a cancellation would come here
        washed_up.set()

    with TestClient(app) as client:
        with client.websocket_connect("/") as socket:
            socket.close()
            assert washed_up.wait(DEADLINE)
        told.clear()
        washed_up.clear()
        with client.websocket_connect("/"):
            pass
        assert (told.is_set(), washed_up.is_set()) == (True, False)


async def test_asgi_transport_opens_no_websocket() -> None:
    app = FastAPI()

    @app.websocket("/orders")
    async def orders() -> None:
        raise AssertionError

    async with through(app) as client:
        assert (await client.get("ws://shop/orders")).status_code == 404
