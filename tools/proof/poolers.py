"""The table of settings behind PgBouncer: `python -m tools poolers` runs it and keeps the record.

Each row is tried with each release of PgBouncer on this machine and with older versions of
asyncpg, which get environments of their own; so this needs the network and is no part of the
tests. They try the rows again with the asyncpg of this environment.
"""

import json
import os
import subprocess
import sys
import tempfile
from collections.abc import Iterable
from importlib.metadata import version
from pathlib import Path

import click

from tools.paths import SETTINGS_TABLE
from tools.postgres import Server, fresh_database
from tools.postgres.pgbouncer import TRACKS, Release, find_releases, run_pgbouncer
from tools.proof import guests
from tools.proof.environments import install, pin
from tools.proof.record import current_versions
from tools.proof.seals import describe_run, write_sealed

GUESTS = Path(guests.__file__)
OLDER = ("0.29.0", "0.30.0")
"""Versions of asyncpg before 0.31, which sends statements without a name if its cache is 0."""
COLUMNS = ("moved", "next process", "at once", "AUTOCOMMIT", "left")
FORMAT = "{:32}{:16}{:16}{:9}{:12}{:>4}"
DEADLINE = 300.0
"""Seconds all rows may take on a busy machine."""

Outcomes = dict[str, list[str | int | None]]
"""What came of each row, by its name; in the order of the columns."""


def write_table(server: Server) -> None:
    """Try all settings with all versions and write the record.

    Raises:
        click.ClickException: An older asyncpg could not be installed.
        PostgresError: There is no PgBouncer.
    """
    found = dict[tuple[str, str], Outcomes]()
    with tempfile.TemporaryDirectory(prefix="poolers-") as folder:
        ours = pin("sqlalchemy[asyncio]")
        pythons = {each: install(Path(folder, each), f"asyncpg=={each}", ours) for each in OLDER}
        pythons[version("asyncpg")] = Path(sys.executable)
        for asyncpg, python in pythons.items():
            rows = [row for row in guests.ROWS if asyncpg not in OLDER or "psycopg" not in row]
            for release, tracked in list_poolers(find_releases()):
                pooler = describe_pooler(release, tracked)
                click.echo(f"asyncpg {asyncpg}, PgBouncer {pooler}", err=True)
                found[asyncpg, pooler] = try_rows(rows, release, tracked, server, python)
    write_sealed(SETTINGS_TABLE, format_table(found, current_versions(server)))


def list_poolers(releases: Iterable[Release]) -> list[tuple[Release, int]]:
    """Each release with what it may be told of `max_prepared_statements`."""
    return [
        (release, tracked)
        for release in releases
        for tracked in (0, 200)
        if not tracked or release.number >= TRACKS
    ]


def describe_pooler(release: Release, tracked: int) -> str:
    """`1.24.1 with max_prepared_statements=200`; an old release has no such setting."""
    if release.number < TRACKS:
        return release.version
    return f"{release.version} with max_prepared_statements={tracked}"


def try_rows(
    rows: Iterable[str], release: Release, tracked: int, server: Server, python: Path
) -> Outcomes:
    """Try rows of settings through one PgBouncer with two connections to the server.

    Args:
        rows: Names of `guests.ROWS`.
        release: The release of PgBouncer.
        tracked: Its `max_prepared_statements`.
        server: Where it leads, to a database of its own.
        python: That of an environment with asyncpg and SQLAlchemy.

    Raises:
        CalledProcessError: The program that tries them failed.
        TimeoutExpired: It took more than `DEADLINE` seconds.
        PostgresError: PgBouncer does not start.
    """
    settings = {"default_pool_size": "2", "max_prepared_statements": str(tracked)}
    with (
        fresh_database(server.url) as database,
        run_pgbouncer(database, release, **settings) as url,
    ):
        ran = subprocess.run(
            [python, GUESTS, *rows],
            env={"DATABASE_URL": url, "PATH": os.environ["PATH"]},
            stdout=subprocess.PIPE, check=True, encoding="utf-8", timeout=DEADLINE,
        )  # fmt: skip
    found: Outcomes = json.loads(ran.stdout)
    return found


def format_rows(found: Outcomes) -> str:
    """The lines of a table."""
    lines = [FORMAT.format("", *COLUMNS)]
    for row, outcome in found.items():
        lines.append(FORMAT.format(row, *("" if cell is None else cell for cell in outcome)))
    return "\n".join(map(str.rstrip, lines))


def format_table(found: dict[tuple[str, str], Outcomes], versions: dict[str, str]) -> str:
    """The text to keep: what was run and when, then each table once, with where it holds.

    Args:
        found: The outcomes, by version of asyncpg and description of the pooler.
        versions: Those of all the rest.
    """
    rest = ", ".join(f"{what} {versions[what]}" for what in ("SQLAlchemy", "psycopg", "PostgreSQL"))
    parts = [f"{describe_run(GUESTS)}\n{rest}"]
    for table in dict.fromkeys(map(format_rows, reversed(found.values()))):
        places = [place for place in found if format_rows(found[place]) == table]
        drivers, poolers = (list(dict.fromkeys(each)) for each in zip(*places, strict=True))
        parts.append(f"asyncpg {', '.join(drivers)}; PgBouncer {', '.join(poolers)}\n{table}")
    return "\n\n".join(parts) + "\n"
