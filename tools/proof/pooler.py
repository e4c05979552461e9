"""A PgBouncer between a snippet and its database, if a file beside the snippet says which."""

from collections.abc import Iterator
from configparser import ConfigParser
from contextlib import contextmanager
from pathlib import Path

from tools.postgres import PostgresError
from tools.postgres.pgbouncer import newest_release, run_pgbouncer
from tools.proof.snippets import find_pooler, location


@contextmanager
def pooled(snippet: Path, database_url: str) -> Iterator[str]:
    """The URL for a snippet: the database's, or that of a PgBouncer in front of it.

    Args:
        snippet: A file below `snippets/`.
        database_url: Its database.

    Raises:
        PostgresError: There is no PgBouncer, or it does not start.
    """
    if settings := find_pooler(snippet):
        with run_pgbouncer(database_url, None, **read_settings(settings)) as url:
            yield url
    else:
        yield database_url


def read_settings(file: Path) -> dict[str, str]:
    """What an ini says in its section `[pgbouncer]`."""
    parser = ConfigParser(interpolation=None)
    parser.read_string(file.read_text("utf-8"))
    return dict(parser["pgbouncer"])


def find_lack(snippet: Path) -> str:
    """That this machine has no PgBouncer though the snippet needs one; empty if all is there."""
    if find_pooler(snippet):
        try:
            newest_release()
        except PostgresError as error:
            return f"{location(snippet)}: not run. {error}"
    return ""
