"""What the page on loops in pytest says beyond the outcomes of its projects."""

import asyncio
import gc
from contextlib import nullcontext
from functools import lru_cache
from pathlib import Path

import pytest
from fastapi import FastAPI
from sqlalchemy import text
from sqlalchemy.ext.asyncio import AsyncConnection, async_sessionmaker, create_async_engine

from tests.pools import MakeEngine, pool_of, with_psycopg
from tests.testing.readers import run_source
from tests.waiting import eventually

SETTINGS = '[tool.pytest.ini_options]\nasyncio_default_fixture_loop_scope = "function"\n'
ANYIO = """
import os, pytest
from sqlalchemy import text
from sqlalchemy.ext.asyncio import create_async_engine

pytestmark = pytest.mark.anyio
ENGINE = create_async_engine(os.environ["DATABASE_URL"])

@pytest.fixture(scope="session")
def anyio_backend(): return "asyncio"

@pytest.fixture(scope="session")
async def wide(): yield

async def ask():
    async with ENGINE.connect() as connection:
        await connection.execute(text("SELECT 1"))
"""
SCOPED = """
import asyncio, pytest, pytest_asyncio
from sqlalchemy.ext.asyncio import async_scoped_session, async_sessionmaker

scoped = async_scoped_session(async_sessionmaker(), asyncio.current_task)

@pytest_asyncio.fixture(loop_scope="session")
async def session(): yield scoped()

@pytest.mark.asyncio(loop_scope="session")
async def test_it(session): assert scoped() is not session
"""
UNITTEST = (
    ANYIO.replace("pytestmark", "mark")
    + """
import unittest

class Tests(unittest.IsolatedAsyncioTestCase):
    async def test_a(self): await ask()
    async def test_b(self): await ask()
    async def asyncTearDown(self): {}
"""
)
CACHED = """
import os, pytest
from functools import lru_cache
from sqlalchemy import text
from sqlalchemy.ext.asyncio import create_async_engine

@lru_cache
def get_engine(): return create_async_engine(os.environ["DATABASE_URL"])

@pytest.fixture(autouse=True)
def clear():
    yield
    get_engine.cache_clear()

async def ask():
    async with get_engine().connect() as connection:
        await connection.execute(text("SELECT 1"))
"""
STRICT = """
import pytest

@pytest.fixture
async def session(): yield 7

@pytest.mark.asyncio
async def test_marked(session): assert session == 7

async def test_unmarked(): pass
"""
ALONE = "\nasync def test_a(): await ask()\n\nasync def test_b(): await ask()\n"
AFTER = "\nasync def test_before(wide): pass\n"


def run(folder: Path, url: str, source: str, settings: str = SETTINGS) -> tuple[str, str]:
    """Run one test file as a reader does; what pytest said."""
    ran = run_source(source, folder, url, "--tb=no", settings=settings)
    return ran.stdout, ran.stderr


def test_with_anyio_a_test_passes_because_another_asked_for_a_wider_fixture(
    tmp_path: Path, database_url: str
) -> None:
    alone, _ = run(tmp_path, database_url, ANYIO + ALONE)
    after, _ = run(tmp_path, database_url, ANYIO + AFTER + ALONE)
    assert "1 failed, 1 passed" in alone
    assert "3 passed" in after


def test_without_a_loop_scope_for_fixtures_pytest_asyncio_warns(
    tmp_path: Path, database_url: str
) -> None:
    said, quiet = "def test_it(): pass\n", 'asyncio_default_fixture_loop_scope" is unset'
    assert quiet in run(tmp_path, database_url, said, "[tool.pytest.ini_options]\n")[1]
    assert quiet not in run(tmp_path, database_url, said)[1]


def test_an_engine_is_made_without_a_loop_and_opens_nothing(database_url: str) -> None:
    with pytest.raises(RuntimeError, match="no running event loop"):
        asyncio.get_running_loop()
    engine = create_async_engine(database_url)
    try:
        assert pool_of(engine).checkedin() == 0
    finally:
        asyncio.run(engine.dispose())


async def test_an_engine_that_is_only_forgotten_leaves_its_connection_open(
    make_engine: MakeEngine, watcher: AsyncConnection
) -> None:
    kept = make_engine()  # as `cache_clear()` leaves it until the garbage collector comes
    async with kept.connect() as connection:
        backend = await connection.scalar(text("SELECT pg_backend_pid()"))
    other = make_engine()
    async with other.connect() as connection:
        await connection.execute(text("SELECT 1"))
    alive = text("SELECT count(*) FROM pg_stat_activity WHERE pid = :backend")
    assert await watcher.scalar(alive, {"backend": backend}) == 1
    await kept.dispose()

    async def closed() -> bool:
        return not await watcher.scalar(alive, {"backend": backend})

    await eventually("the backend has ended", closed)


@pytest.mark.parametrize("scope", ["function", "session"])
async def test_the_ping_fails_in_the_wrong_loop_as_well(
    scope: str, tmp_path: Path, database_url: str
) -> None:
    source = (
        ANYIO.replace('"])', '"], pool_pre_ping=True)', 1).replace(
            "mark.anyio", f'mark.asyncio(loop_scope="{scope}")'
        )
        + ALONE
    )
    said, _ = await asyncio.to_thread(run, tmp_path, database_url, source)
    assert ("1 failed, 1 passed" if scope == "function" else "2 passed") in said


@pytest.mark.filterwarnings("ignore")
@pytest.mark.parametrize("entered", [True, False], ids=["with TestClient", "TestClient"])
def test_without_with_each_request_of_a_test_client_has_a_loop_of_its_own(
    database_url: str, entered: bool, caplog: pytest.LogCaptureFixture
) -> None:
    from fastapi.testclient import TestClient  # which warns that httpx will go

    engine = create_async_engine(database_url)
    app = FastAPI()

    @app.get("/")
    async def tea() -> str:
        async with engine.connect() as connection:
            return str(await connection.scalar(text("SELECT 'oolong'")))

    client = TestClient(app)
    with client if entered else nullcontext():
        assert client.get("/").json() == "oolong"
        if entered:
            assert client.get("/").json() == "oolong"
        else:
            with pytest.raises(RuntimeError, match="attached to a different loop"):
                client.get("/")
    asyncio.run(engine.dispose(close=False))
    caplog.clear()  # logged tracebacks hold the connections of closed loops
    for _ in range(3):
        gc.collect()


def test_a_session_for_all_tests_keeps_its_connection_with_null_pool_too(
    tmp_path: Path, database_url: str
) -> None:
    source = (
        ANYIO.replace('"])', '"], poolclass=NullPool)', 1)
        .replace("mark.anyio", "mark.asyncio")
        .replace("import text", "import NullPool, text")
    )
    shared = "\nSESSION = AsyncSession(ENGINE)\n\nasync def ask(): await SESSION.execute({})\n"
    source = source.replace("import create", "import AsyncSession, create")
    said, _ = run(tmp_path, database_url, source + shared.format('text("SELECT 1")') + ALONE)
    assert "1 failed, 1 passed" in said
    said, _ = run(tmp_path, database_url, source + ALONE)
    assert "2 passed" in said


def test_psycopg_fails_once_tasks_have_waited_for_the_pool_in_two_loops(database_url: str) -> None:
    engine = create_async_engine(with_psycopg(database_url), pool_size=1, max_overflow=0)

    async def ask() -> None:
        async with engine.connect() as connection:
            await connection.execute(text("SELECT 1"))

    async def wait_in_line() -> None:
        await asyncio.gather(ask(), ask())

    asyncio.run(ask())
    asyncio.run(wait_in_line())
    asyncio.run(ask())
    with pytest.raises(RuntimeError, match="is bound to a different event loop"):
        asyncio.run(wait_in_line())
    asyncio.run(engine.dispose())


def test_with_cache_clear_tests_pass_and_with_unittest_only_dispose_helps(
    tmp_path: Path, database_url: str
) -> None:
    one_loop = SETTINGS.replace("function", "session") + (
        'asyncio_default_test_loop_scope = "session"\nasyncio_mode = "auto"\n'
    )
    said, _ = run(tmp_path, database_url, CACHED + ALONE, SETTINGS + 'asyncio_mode = "auto"\n')
    assert "2 passed" in said
    said, _ = run(tmp_path, database_url, UNITTEST.format("pass"), one_loop)
    assert "1 failed, 1 passed" in said
    said, _ = run(tmp_path, database_url, UNITTEST.format("await ENGINE.dispose()"), one_loop)
    assert "2 passed" in said


async def test_a_session_factory_made_at_import_keeps_the_old_engine(
    make_engine: MakeEngine,
) -> None:
    get_engine = lru_cache(lambda: make_engine())
    async_session = async_sessionmaker(get_engine())
    old = get_engine()
    get_engine.cache_clear()
    assert async_session().bind is old is not get_engine()


def test_a_fixture_and_its_test_are_two_tasks_for_a_scoped_session(
    tmp_path: Path, database_url: str
) -> None:
    said, _ = run(tmp_path, database_url, SCOPED)
    assert "1 passed" in said


def test_under_anyio_a_fixture_and_its_test_are_one_task(tmp_path: Path, database_url: str) -> None:
    backend = '\n@pytest.fixture\ndef anyio_backend(): return "asyncio"\n'
    source = SCOPED.replace('pytest_asyncio.fixture(loop_scope="session")', "pytest.fixture")
    source = source.replace('mark.asyncio(loop_scope="session")', "mark.anyio")
    said, _ = run(tmp_path, database_url, source.replace("is not", "is") + backend)
    assert "1 passed" in said


def test_in_strict_mode_a_fixture_of_pytest_and_a_test_without_a_mark_are_not_run(
    tmp_path: Path, database_url: str
) -> None:
    strict, _ = run(tmp_path, database_url, STRICT)
    assert "requested an async fixture 'session', with no plugin or hook that handled it" in strict
    assert "test_unmarked - Failed: async def functions are not natively supported" in strict
    auto, _ = run(tmp_path, database_url, STRICT, SETTINGS + 'asyncio_mode = "auto"\n')
    assert "2 passed" in auto


@pytest.mark.parametrize(("asks", "outcome"), [("", "1 error"), ("anyio_backend", "1 passed")])
def test_under_anyio_a_plain_test_gets_an_async_fixture_that_asks_for_the_backend(
    asks: str, outcome: str, tmp_path: Path, database_url: str
) -> None:
    source = "import pytest\n@pytest.fixture\nasync def session({}): yield 7\n"
    test = "@pytest.mark.anyio\ndef test_it(session): assert session == 7\n"
    said, _ = run(tmp_path, database_url, source.format(asks) + test)
    assert outcome in said
    refused = "requested an async fixture 'session', with no plugin or hook that handled it"
    assert (refused in said) == (not asks)


def test_a_dispose_after_a_different_loop_says_that_a_cancel_was_never_awaited(
    tmp_path: Path, database_url: str
) -> None:
    tests = f"{ALONE}\nasync def test_c(): await ENGINE.dispose()\n"
    said, _ = run(tmp_path, database_url, ANYIO + tests)
    assert "attached to a different loop" in said
    assert "coroutine 'Connection._cancel' was never awaited" in said


STOPPED = """
import asyncio, gc, os, pytest
from sqlalchemy import text
from sqlalchemy.ext.asyncio import create_async_engine

async def query(engine):
    async with engine.connect() as connection:
        await connection.execute(text("SELECT 1"))

def test_it():
    engine = create_async_engine(os.environ["DATABASE_URL"])
    loops = [asyncio.new_event_loop() for _ in range(3)]
    loops[0].run_until_complete(query(engine))
    with pytest.raises(RuntimeError, match="attached to a different loop"):
        loops[1].run_until_complete(query(engine))
    loops[2].run_until_complete(engine.dispose())
    assert not any(loop.is_closed() for loop in loops)
    del engine, loops
    gc.collect()
"""


def test_a_loop_that_runs_no_more_leaves_a_cancel_that_was_never_awaited_too(
    tmp_path: Path, database_url: str
) -> None:
    said, logged = run(tmp_path, database_url, STOPPED)
    assert "1 passed" in said
    assert "coroutine 'Connection._cancel' was never awaited" in said + logged
