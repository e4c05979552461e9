"""Measure what it costs to have empty tables again: `python -m tools emptying`.

Runs the script for readers on three servers, one after another, and writes the table beside it,
`costs.txt`. Wants a machine that does nothing else; takes about a minute.
"""

import contextlib
import os
import re
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator

from tools.paths import SNIPPETS
from tools.postgres import EmbeddedPostgres
from tools.proof.seals import describe_run, write_sealed

SCRIPT = SNIPPETS / "testing/rollback/costs.py"
MAJOR = 18
STARTS = 5
"""How often a server is set up and started, to see how long that takes."""

DURABLE = {"fsync": "on", "full_page_writes": "on", "synchronous_commit": "on"}
SERVERS: dict[str, tuple[dict[str, str], bool]] = {
    "durable": (DURABLE, False),
    "fast": ({}, False),
    "fast in RAM": ({}, True),
}
"""Settings beside those of our embedded server, which are the fast ones; and whether its files
are on a RAM disk, where there is one."""

_ROW = re.compile(r"^(.*\S) +([\d.]+)$", re.MULTILINE)


def measure_emptying() -> None:
    """Run the script on servers of its own, and write the table.

    Raises:
        PostgresError: There are no binaries of PostgreSQL here.
        CalledProcessError: The script failed.
    """
    heads, columns = [], {}
    for name, (settings, in_ram) in SERVERS.items():
        with _temporary_folder(in_ram=in_ram):
            started = statistics.median(_time_start(settings) for _ in range(STARTS))
            printed = _run_script(settings)
        heads.append(printed.splitlines()[0])
        columns[name] = {"initdb and start": f"{started:.1f}", **dict(_ROW.findall(printed))}
    about = re.sub(r", fsync \w+", "", heads[0])
    table = "\n".join(format_table(columns))
    write_sealed(SCRIPT.with_suffix(".txt"), f"{describe_run(SCRIPT)}\n{about}\n\n{table}\n")


def format_table(columns: dict[str, dict[str, str]]) -> Iterator[str]:
    """The lines of a table: a row for each thing measured, a column for each server.

    Args:
        columns: By server, milliseconds by what took them.
    """
    rows = list(next(iter(columns.values())))
    width = max(map(len, rows))
    yield " " * width + "".join(f"{name:>13}" for name in columns)
    for row in rows:
        yield f"{row:{width}}" + "".join(f"{column[row]:>13}" for column in columns.values())


def _time_start(settings: dict[str, str]) -> float:
    """Milliseconds until a new server accepts connections."""
    start = time.perf_counter()
    with EmbeddedPostgres(MAJOR, **settings):
        return 1000 * (time.perf_counter() - start)


def _run_script(settings: dict[str, str]) -> str:
    """What the script prints on such a server."""
    with EmbeddedPostgres(MAJOR, **settings) as server:
        return subprocess.run(
            [sys.executable, str(SCRIPT)],
            env={"PATH": os.environ["PATH"], "DATABASE_URL": server.url()},
            stdout=subprocess.PIPE, check=True, encoding="utf-8",
        ).stdout  # fmt: skip


@contextlib.contextmanager
def _temporary_folder(*, in_ram: bool) -> Iterator[None]:
    """Have servers put their files on the disk of the temporary folder, or in RAM."""
    before = os.environ.pop("TMPDIR", None)
    try:
        if not in_ram:
            os.environ["TMPDIR"] = before or tempfile.gettempdir()
        yield
    finally:
        os.environ.pop("TMPDIR", None)
        if before is not None:
            os.environ["TMPDIR"] = before
