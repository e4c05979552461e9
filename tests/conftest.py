"""What every test may ask for: the PostgreSQL of this run, and a database of its own."""

import os
import signal
from collections.abc import AsyncIterator, Generator, Iterator

import pytest
from sqlalchemy.ext.asyncio import AsyncConnection, create_async_engine
from sqlalchemy.pool import NullPool
from xdist.scheduler import LoadScopeScheduling  # type: ignore[import-untyped]

from tests.claims import find_claims
from tests.time_limit import pytest_timeout_cancel_timer, pytest_timeout_set_timer
from tools.paths import ROOT
from tools.postgres import PostgresError, Server, find_postgres, fresh_database

__all__ = ["pytest_timeout_cancel_timer", "pytest_timeout_set_timer"]  # hooks

# `make test &` in a script ignores Ctrl-C, and so would the programs on which we try it.
signal.signal(signal.SIGINT, signal.default_int_handler)


class OneBrowser(LoadScopeScheduling):  # type: ignore[misc]
    """Any test in any process, but those of the site in one: two browsers fight for the cores."""

    # An xdist_group would say so, but that of pytest-xdist 3.8 is lost on pytest 9.2.
    def _split_scope(self, nodeid: str) -> str:
        return "site" if nodeid.startswith("tests/site/") else nodeid


def pytest_xdist_make_scheduler(config: pytest.Config, log: object) -> OneBrowser:
    """Share out the tests."""
    return OneBrowser(config, log)


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


@pytest.fixture(scope="session")
def server() -> Iterator[Server]:
    """The PostgreSQL of this run; embedded, each test process has one to itself."""
    try:
        with find_postgres() as found:
            yield found
    except PostgresError as error:
        pytest.exit(str(error), returncode=2)


@pytest.fixture
def database_url(server: Server) -> Iterator[str]:
    """A new database, dropped after the test."""
    with fresh_database(server.url) as url:
        yield url


@pytest.fixture
async def watcher(database_url: str) -> AsyncIterator[AsyncConnection]:
    """A connection that looks at the others without a transaction of its own."""
    engine = create_async_engine(database_url, poolclass=NullPool, isolation_level="AUTOCOMMIT")
    async with engine.connect() as connection:
        yield connection
