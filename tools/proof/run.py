"""Run one snippet as a reader does, in a database of its own: `make run`."""

import os
import signal
import subprocess
import sys
from pathlib import Path

import click

from tools.postgres import find_postgres, fresh_database
from tools.proof.snippets import suggest


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
        raise click.UsageError(f"{snippet}: no such file{suggest(str(snippet))}")
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
