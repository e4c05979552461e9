"""What every test may ask for: the PostgreSQL of this run, and a database of its own."""

import signal
from collections.abc import AsyncIterator, Iterator

import pytest
from sqlalchemy.ext.asyncio import AsyncConnection, create_async_engine
from sqlalchemy.pool import NullPool
from xdist.scheduler import LoadScopeScheduling  # type: ignore[import-untyped]

from tests.time_limit import pytest_timeout_cancel_timer, pytest_timeout_set_timer
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
