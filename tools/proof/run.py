"""Run one snippet as a reader does, in a database of its own: `make run`."""

import contextlib
import os
import signal
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from pathlib import Path

import click

from tools.postgres import find_postgres, fresh_database
from tools.proof.pooler import pooled
from tools.proof.projects import copy_project, make_environment
from tools.proof.snippets import find_lead, is_project, suggest


def run_snippet(snippet: Path) -> int:
    """Run a snippet against the PostgreSQL of this machine; its output passes through.

    Args:
        snippet: A Python program that needs nothing but `DATABASE_URL`, or a file of a project.

    Returns:
        The snippet's exit code, 128 + n if signal n ended it.

    Raises:
        click.UsageError: There is no such file.
        PostgresError: There is no PostgreSQL to run it against.
    """
    if not snippet.is_file():
        raise click.UsageError(f"{snippet}: no such file{suggest(str(snippet))}")
    try:
        with (
            find_postgres() as server,
            fresh_database(server.url) as database_url,
            pooled(snippet, database_url) as url,
        ):
            print(f"PostgreSQL {server.version}, {server.origin}", file=sys.stderr)
            code = _run(snippet, url)
    except KeyboardInterrupt:
        return 128 + signal.SIGINT
    return code if code >= 0 else 128 - code


def _run(snippet: Path, database_url: str) -> int:
    # In a group of its own it does not hear Ctrl-C: we do, and end it without a traceback.
    with (
        _prepare(find_lead(snippet.resolve()), database_url) as (command, folder, environment),
        subprocess.Popen(
            [sys.executable, *command],
            cwd=folder,
            env={**os.environ, **environment},
            stdin=subprocess.DEVNULL,
            process_group=0,
        ) as program,
    ):
        try:
            return program.wait()
        finally:
            program.terminate()


@contextlib.contextmanager
def _prepare(
    snippet: Path, database_url: str
) -> Iterator[tuple[list[str], str | None, dict[str, str]]]:
    """What Python is given, the folder, none for this one, and what is set."""
    if not is_project(snippet):
        yield [str(snippet)], None, {"DATABASE_URL": database_url}
        return
    with tempfile.TemporaryDirectory(prefix="reader-") as folder:
        copy_project(snippet, Path(folder))
        command = ["-m", "pytest", "-p", "no:cacheprovider"]
        yield command, folder, make_environment(snippet, database_url)
