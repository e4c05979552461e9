"""What every test may ask for: the PostgreSQL of this run, and a database of its own."""

from collections.abc import Iterator

import pytest

from tools.postgres import PostgresError, Server, find_postgres, fresh_database


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
