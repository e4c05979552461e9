"""What every test may ask for: the PostgreSQL of this run, and a database of its own."""

import gc
import os
import signal
from collections.abc import AsyncIterator, Generator, Iterator
from typing import Any

import pytest
from sqlalchemy import URL
from sqlalchemy.ext.asyncio import AsyncConnection, AsyncEngine, create_async_engine
from sqlalchemy.pool import NullPool
from xdist.scheduler import LoadScopeScheduling  # type: ignore[import-untyped]

from tests.claims import find_claims
from tests.pools import MakeEngine
from tests.time_limit import pytest_timeout_cancel_timer, pytest_timeout_set_timer
from tools.paths import ROOT
from tools.postgres import EmbeddedPostgres, PostgresError, Server, find_postgres, fresh_database

__all__ = ["pytest_timeout_cancel_timer", "pytest_timeout_set_timer"]  # hooks

# `make test &` in a script ignores Ctrl-C, and so would the programs on which we try it.
signal.signal(signal.SIGINT, signal.default_int_handler)


class TwoBrowsers(LoadScopeScheduling):  # type: ignore[misc]
    """Any test in any process, but those of the site in two: more browsers fight for the cores."""

    # An xdist_group would say so, but pytest-xdist 3.8 loses it on pytest 9.2. This class may go
    # when https://github.com/pytest-dev/pytest-xdist/issues/1386 is mended in a release.
    def _split_scope(self, nodeid: str) -> str:
        if nodeid.startswith(("tests/site/player/", "tests/site/test_listings.py")):
            return "player and listings"
        if nodeid.startswith("tests/sessions/test_dependency.py::test_mypy_"):
            return "mypy"  # they share what it says
        return "site" if nodeid.startswith("tests/site/") else nodeid


def pytest_xdist_make_scheduler(config: pytest.Config, log: object) -> TwoBrowsers:
    """Share out the tests."""
    return TwoBrowsers(config, log)


def pytest_configure(config: pytest.Config) -> None:
    """Ask a server that was named once, and say what is wrong with it before workers start."""
    if os.environ.get("DATABASE_URL") and not hasattr(config, "workerinput"):
        try:
            with find_postgres():
                pass
        except PostgresError as error:
            pytest.exit(str(error), returncode=2)


@pytest.hookimpl(wrapper=True)
def pytest_runtest_makereport(
    item: pytest.Item, call: pytest.CallInfo[None]
) -> Generator[None, pytest.TestReport, pytest.TestReport]:
    """Name the sentences of the pages that a failing test says are false."""
    report = yield
    if report.failed and item.path.is_relative_to(ROOT / "tests"):
        name = getattr(item, "originalname", item.name)
        if claims := find_claims(item.path, name):
            report.sections.append(("What is no longer true", "\n".join(claims)))
    return report


def pytest_collection_finish() -> None:
    """Keep what has been imported out of all collections to come: those take no time then."""
    gc.collect()
    gc.freeze()


@pytest.fixture(autouse=True)
def _collect_garbage(request: pytest.FixtureRequest) -> Iterator[None]:
    """A test that leaves something open hears of it itself, and not one that comes later."""
    yield
    if "server" in request.fixturenames:  # else there was nothing to open
        request.node.funcargs.clear()  # which hold the engines, or their lost connections
        for _ in range(5):  # what one collection ends lets go of more
            if not gc.collect():
                break
    gc.freeze()  # what is kept for other tests, such as syntax trees: collections take no time then


@pytest.fixture(scope="session")
def server() -> Iterator[Server]:
    """The PostgreSQL of this run; embedded, each test process has one to itself."""
    try:
        with find_postgres() as found:
            yield found
    except PostgresError as error:
        pytest.exit(str(error), returncode=2)


@pytest.fixture(scope="module")
def chatty() -> Iterator[EmbeddedPostgres]:
    """A server of its own that logs each statement it gets."""
    with EmbeddedPostgres(log_statement="all") as server:
        yield server


@pytest.fixture
def database_url(server: Server) -> Iterator[str]:
    """A new database, dropped after the test."""
    with fresh_database(server.url) as url:
        yield url


@pytest.fixture
async def make_engine(database_url: str) -> AsyncIterator[MakeEngine]:
    """Makes engines for the test's database, or another URL; disposed after the test."""
    engines: list[AsyncEngine] = []

    def make(url: str | URL = database_url, **options: Any) -> AsyncEngine:
        engines.append(create_async_engine(url, **options))
        return engines[-1]

    yield make
    for engine in engines:
        await engine.dispose()


@pytest.fixture
async def watcher(make_engine: MakeEngine) -> AsyncIterator[AsyncConnection]:
    """A connection that looks at the others without a transaction of its own."""
    engine = make_engine(poolclass=NullPool, isolation_level="AUTOCOMMIT")
    async with engine.connect() as connection:
        yield connection
