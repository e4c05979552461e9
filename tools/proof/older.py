"""Run snippets with other versions of FastAPI and keep what they print: `make older`.

Each version gets an environment of its own, so this needs the network and is no part of the tests.
The record stands beside its snippet, `after_yield.txt`, and a page includes it. Run this again
when such a snippet has changed: a test compares the record's digest with the file.
"""

import subprocess
import tempfile
from collections.abc import Mapping
from pathlib import Path

import click

from tools.paths import SNIPPETS
from tools.postgres import Server, fresh_database
from tools.proof.environments import install, pin
from tools.proof.processes import DEADLINE
from tools.proof.record import current_versions
from tools.proof.seals import describe_run, write_sealed

RUNS = {
    "sessions/request/after_yield.py": ("0.105.0", "0.106.0", "0.117.1", "0.118.0"),
    "sessions/request/background.py": ("0.120.4", "0.121.0"),
}
"""Snippets, and the versions on both sides of each border that their page names."""

PINNED = ("sqlalchemy[asyncio]", "asyncpg", "httpx", "uvicorn")
"""What else the snippets need; in the versions of this environment."""


def write_records(server: Server) -> None:
    """Write all records anew.

    Raises:
        click.ClickException: A release could not be installed.
    """
    for name, releases in RUNS.items():
        snippet = SNIPPETS / name
        outcomes = {release: run_with(release, snippet, server) for release in releases}
        text = format_record(snippet, outcomes, current_versions(server))
        write_sealed(snippet.with_suffix(".txt"), text)
        click.echo(text)


def run_with(release: str, snippet: Path, server: Server) -> str:
    """What a snippet prints with a release of FastAPI, in an environment made for it.

    Args:
        release: `0.105.0`.
        snippet: The file.
        server: Where it gets a database of its own.

    Returns:
        As `read_outcome`.

    Raises:
        click.ClickException: The release could not be installed.
        TimeoutExpired: The snippet took longer than a snippet may.
    """
    with tempfile.TemporaryDirectory(prefix="older-") as folder:
        python = install(Path(folder), f"fastapi=={release}", *map(pin, PINNED))
        return read_outcome(python, snippet, server)


def read_outcome(python: Path, snippet: Path, server: Server) -> str:
    """The lines that a snippet prints; the last line of its traceback if it fails.

    Args:
        python: That of an environment with what the snippet needs.
        snippet: The file.
        server: Where it gets a database of its own.

    Raises:
        TimeoutExpired: It took more than `DEADLINE` seconds.
    """
    with fresh_database(server.url) as url:
        ran = subprocess.run(
            [python, snippet],
            env={"DATABASE_URL": url, "LANG": "C.UTF-8"},
            capture_output=True, encoding="utf-8", timeout=DEADLINE,
        )  # fmt: skip
    return (ran.stderr.strip().splitlines()[-1:] or [ran.stdout.strip()])[0]


def format_record(snippet: Path, outcomes: Mapping[str, str], versions: Mapping[str, str]) -> str:
    """The text to keep: what was run, when and with what, then each outcome once.

    Args:
        snippet: The file that was run.
        outcomes: Its outcome, by release of FastAPI.
        versions: Those of all the rest.
    """
    rest = ", ".join(f"{what} {which}" for what, which in versions.items())
    parts = [f"{describe_run(snippet)}\n{rest}"]
    for outcome in dict.fromkeys(outcomes.values()):
        releases = ", ".join(release for release in outcomes if outcomes[release] == outcome)
        parts.append(f"FastAPI {releases}\n{outcome}")
    return "\n\n".join(parts) + "\n"
