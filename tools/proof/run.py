"""Run one snippet as a reader does, in a database of its own: `make run`."""

import difflib
import os
import signal
import subprocess
import sys
from pathlib import Path

import click

from tools.paths import ROOT, SNIPPETS
from tools.postgres import find_postgres, fresh_database


def run_snippet(snippet: Path) -> int:
    """Run a snippet against the PostgreSQL of this machine; its output passes through.

    Args:
        snippet: A Python program that needs nothing but `DATABASE_URL`.

    Returns:
        The snippet's exit code, 128 + n if signal n ended it.

    Raises:
        click.UsageError: There is no such file.
        PostgresError: There is no PostgreSQL to run it against.
    """
    if not snippet.is_file():
        raise click.UsageError(f"{snippet}: no such file{_suggest(str(snippet))}")
    try:
        with find_postgres() as server, fresh_database(server.url) as url:
            print(f"PostgreSQL {server.version}, {server.origin}", file=sys.stderr)
            code = _run(snippet, url)
    except KeyboardInterrupt:
        return 128 + signal.SIGINT
    return code if code >= 0 else 128 - code


def _run(snippet: Path, database_url: str) -> int:
    # In a group of its own it does not hear Ctrl-C: we do, and end it without a traceback.
    with subprocess.Popen(
        [sys.executable, snippet],
        env={**os.environ, "DATABASE_URL": database_url},
        stdin=subprocess.DEVNULL,
        process_group=0,
    ) as program:
        try:
            return program.wait()
        finally:
            program.terminate()


def _suggest(name: str) -> str:
    known = [path.relative_to(ROOT).as_posix() for path in SNIPPETS.rglob("*.py")]
    near = difflib.get_close_matches(name, known, n=1, cutoff=0.0)
    return f"; did you mean {near[0]}?" if near else ""
