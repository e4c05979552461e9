"""What the page on leaks in tests says beyond the outcomes of its projects."""

import asyncio
from pathlib import Path

import pytest
from sqlalchemy import text
from sqlalchemy.exc import DBAPIError
from sqlalchemy.ext.asyncio import AsyncConnection, AsyncSession

from tests.pools import MakeEngine, both_drivers, leaves_open, with_psycopg
from tests.testing.readers import run_source
from tests.waiting import eventually
from tools.paths import SNIPPETS
from tools.proof.projects import read_outcome

PROJECTS = SNIPPETS / "testing/leaks"
NOT_DISPOSED = """
import gc, os, pytest
from sqlalchemy.ext.asyncio import create_async_engine

@pytest.mark.asyncio
async def test_guilty():
    async with create_async_engine(os.environ["DATABASE_URL"]).connect(): pass

def test_named(): gc.collect()
"""
COLLECTS = """
@pytest.fixture(autouse=True)
def collects():
    yield
    gc.collect()
"""
ERRORS = """[tool.pytest.ini_options]
asyncio_default_fixture_loop_scope = "function"
filterwarnings = ["error"]
"""
ALARMS = """
import asyncio, gc, os
from concurrent.futures import ThreadPoolExecutor
import pytest, pytest_asyncio
from sqlalchemy import StaticPool, make_url, text
from sqlalchemy.ext.asyncio import AsyncSession, create_async_engine

URL, SELECT, kept = make_url(os.environ["DATABASE_URL"]), text("SELECT 7"), []
psycopg = create_async_engine(URL.set(drivername="postgresql+psycopg"))
engine = create_async_engine(URL)

@pytest_asyncio.fixture(scope="session", autouse=True)
async def wide():
    connection = await engine.connect()
    kept.append(connection)
    yield

@pytest_asyncio.fixture
async def session():
    async with engine.connect() as connection:
        outer = await connection.begin()
        async with AsyncSession(connection, join_transaction_mode="create_savepoint") as session:
            yield session
        await outer.rollback()

async def test_wide_comes_back(): await kept.pop().close()

async def test_outer_transaction(session): await session.scalar(SELECT)

async def test_forgotten_on_the_connection_of_the_test(session):
    kept.append(other := AsyncSession(session.bind, join_transaction_mode="create_savepoint"))
    await other.scalar(SELECT)

async def test_half_read(): await anext(half_read())

async def half_read():
    async with AsyncSession(engine) as session:
        yield await session.scalar(SELECT)

async def test_static():
    other = create_async_engine(URL, poolclass=StaticPool)
    kept.append(await other.connect())
    await (await other.connect()).close()

async def test_goes_on():
    lent = asyncio.Event()
    async def wait():
        async with engine.connect():
            lent.set()
            await asyncio.Event().wait()
    kept.append(asyncio.create_task(wait()))
    await lent.wait()

async def test_detached():
    async with engine.connect() as connection:
        kept.append((await connection.get_raw_connection()).detach())

async def test_collected():
    await (await psycopg.connect()).execute(SELECT)
    gc.collect()

async def test_psycopg(): kept.append(await psycopg.connect())

def test_in_a_thread():
    with ThreadPoolExecutor(1) as pool:
        pool.submit(asyncio.run, leak()).result()

async def leak():
    kept.append(await psycopg.connect())
"""
TWO_TASKS = """
import asyncio
from shop import PRICE, AsyncSession, app, engine

both_have_one = asyncio.Barrier(2)

@app.get("/tasks")
async def tasks() -> None:
    await asyncio.gather(ask(), ask())

async def ask() -> None:
    async with AsyncSession(engine) as session:
        await session.execute(PRICE)
        await both_have_one.wait()

async def test_tasks(client): await client.get("/tasks")
"""
ORDER = """
import pytest_asyncio
from sqlalchemy.ext.asyncio import AsyncSession
from shop import engine, order

@pytest_asyncio.fixture
async def session({asks_for}):
    async with AsyncSession(engine) as session:
        yield session

async def test_order(session, tables): await order(session, "oolong")
"""


NOT_CHECKED = """
import httpx, pytest
from conftest import counted
from shop import PRICE, AsyncSession, app, engine

@app.get("/raises")
async def raises() -> None:
    async with AsyncSession(engine) as one, AsyncSession(engine) as other:
        await one.execute(PRICE)
        await other.execute(PRICE)
        raise OSError

async def test_raises(client):
    with pytest.raises(OSError): await client.get("/raises")

@pytest.mark.parametrize("hears", [True, False])
async def test_swallowed(hears):
    way = httpx.ASGITransport(counted, raise_app_exceptions=hears)
    async with httpx.AsyncClient(transport=way, base_url="http://shop") as client:
        try: await client.get("/nested")
        finally: await engine.dispose()
"""


def run(project: str, folder: Path, url: str, source: str, *without: str) -> list[str]:
    """Run one test file beside the other files of a project, less some words; the outcome."""
    for file in (PROJECTS / project).iterdir():
        if file.is_file() and not file.name.startswith("test_"):
            source_text = file.read_text("utf-8")
            for word in without:
                source_text = source_text.replace(word, "")
            (folder / file.name).write_text(source_text, "utf-8")
    return read_outcome(run_source(source, folder, url, "-v").stdout)


def line_of(words: str) -> int:
    """The number of the line of `ALARMS` that holds these words."""
    [number] = [at for at, line in enumerate(ALARMS.splitlines(), 1) if words in line]
    return number


def test_what_is_an_alarm_and_what_is_none(tmp_path: Path, database_url: str) -> None:
    said = "Failed: not returned, borrowed at test_it.py"
    in_background = line_of("        async with engine.connect():")
    detached = line_of("raw_connection") - 1
    assert run("no_leaks", tmp_path, database_url, ALARMS) == [
        f"ERROR test_it.py::test_goes_on - {said}:{in_background}",
        f"ERROR test_it.py::test_detached - {said}:{detached}",
        f"ERROR test_it.py::test_collected - {said}:{line_of('(await psycopg.connect()).')}",
        f"ERROR test_it.py::test_psycopg - {said}:{line_of('def test_psycopg')}",
        f"ERROR test_it.py::test_in_a_thread - {said}:{line_of('def leak') + 1}",
        "10 passed, 5 errors",
    ]


def test_tasks_of_a_request_are_counted_as_the_request(tmp_path: Path, database_url: str) -> None:
    [failed, _] = run("per_request", tmp_path, database_url, TWO_TASKS)
    assert "AssertionError: /tasks: Loans(now=0, at_once=2, in_all=2)" in failed


def test_a_request_that_raises_and_a_client_that_swallows_errors_are_not_checked(
    tmp_path: Path, database_url: str
) -> None:
    [failed, outcome] = run("per_request", tmp_path, database_url, NOT_CHECKED)
    assert "test_swallowed[True] - AssertionError: /nested" in failed
    assert outcome == "1 failed, 2 passed"


def test_the_fixture_of_the_second_project_is_that_of_the_first() -> None:
    first, second = (PROJECTS / name / "conftest.py" for name in ("no_leaks", "false_alarms"))
    assert first.read_bytes() == second.read_bytes()


@pytest.mark.parametrize("asks_for", ["", "tables"])
def test_a_session_fixture_that_asks_for_the_tables_is_closed_before_they_go(
    tmp_path: Path, database_url: str, asks_for: str
) -> None:
    source = ORDER.format(asks_for=asks_for)
    outcome = run("hangs", tmp_path, database_url, source, "autouse=True")
    assert outcome[-1] == ("1 passed" if asks_for else "1 passed, 1 error")


@leaves_open
async def test_dispose_does_not_end_a_transaction_that_is_lent(make_engine: MakeEngine) -> None:
    engine, own = make_engine(), make_engine()
    async with own.begin() as connection:
        await connection.execute(text("CREATE TABLE orders (tea text)"))
    session = AsyncSession(engine)
    await session.execute(text("SELECT tea FROM orders"))
    await engine.dispose()
    async with own.connect() as connection:
        await connection.execute(text("SET lock_timeout = '200ms'"))
        with pytest.raises(DBAPIError, match="lock timeout"):
            await connection.execute(text("DROP TABLE orders"))
    await session.close()


@pytest.mark.parametrize("goes_on_to", ["cups", "orders", "teas"])
async def test_a_task_that_goes_on_to_a_table_locked_by_the_drop_is_a_deadlock(
    goes_on_to: str, make_engine: MakeEngine, watcher: AsyncConnection
) -> None:
    engine = make_engine()
    async with engine.begin() as connection:
        for table in ("cups", "orders", "teas"):
            await connection.execute(text(f"CREATE TABLE {table} (id int)"))

    async def drop() -> None:
        async with engine.begin() as connection:
            await connection.execute(text("TRUNCATE cups, orders, teas"))

    async def go_on(task: AsyncConnection) -> None:
        await task.execute(text(f"INSERT INTO {goes_on_to} VALUES (1)"))
        await task.commit()

    async def waits() -> bool:
        waiting = text("SELECT 1 FROM pg_locks WHERE NOT granted AND relation = 'orders'::regclass")
        return bool(await watcher.scalar(waiting))

    async with engine.connect() as task:
        await task.execute(text("SELECT FROM orders"))
        dropping = asyncio.create_task(drop())
        await eventually("the statement waits for the task", waits)
        said = await asyncio.gather(go_on(task), dropping, return_exceptions=True)
    assert ("deadlock detected" in str(said)) is (goes_on_to == "cups")  # either is its victim


@both_drivers
def test_garbage_of_an_engine_is_reported_at_a_later_test_unless_a_fixture_collects_it(
    driver: str, tmp_path: Path, database_url: str
) -> None:
    url = (
        database_url if driver == "asyncpg" else with_psycopg(database_url).render_as_string(False)
    )
    later = run_source(NOT_DISPOSED, tmp_path, url, settings=ERRORS).stdout
    assert "FAILED test_it.py::test_named" in later
    assert "test_it.py::test_guilty" not in later
    assert "PytestUnraisableExceptionWarning" in later
    said = {"asyncpg": "unclosed connection", "psycopg": "was deleted while still open"}
    assert said[driver] in later
    assert ("unclosed transport" in later) is (driver == "asyncpg")
    own = run_source(NOT_DISPOSED + COLLECTS, tmp_path, url, settings=ERRORS).stdout
    assert "ERROR test_it.py::test_guilty" in own
    assert "test_it.py::test_named" not in own
    failing = (NOT_DISPOSED + COLLECTS).replace("async with ", "engine = ")
    failing = failing.replace(
        ".connect(): pass", "\n    async with engine.connect(): raise OSError"
    )
    following = run_source(failing, tmp_path, url, settings=ERRORS).stdout
    assert "FAILED test_it.py::test_guilty" in following
    assert "FAILED test_it.py::test_named" in following
    assert "ERROR test_it.py::test_guilty" not in following
