"""Run snippets with other versions of FastAPI and keep what they print: `make older`.

Each version gets an environment of its own, so this needs the network and is no part of the tests.
The record stands beside its snippet, `after_yield.txt`, and a page includes it. Run this again
when such a snippet has changed: a test compares the record's digest with the file.
"""

import datetime
import subprocess
import sys
import tempfile
from collections.abc import Mapping
from importlib.metadata import version
from pathlib import Path

from tools.postgres import PostgresError, Server, find_postgres, fresh_database
from tools.prove import DEADLINE, digest, versions
from tools.rooms import SNIPPETS

RUNS = {
    "sessions/request/after_yield.py": ("0.105.0", "0.106.0", "0.117.1", "0.118.0"),
    "sessions/request/background.py": ("0.120.4", "0.121.0"),
}
"""Snippets, and the versions on both sides of each border that their page names."""

BESIDE = ("sqlalchemy[asyncio]", "asyncpg", "httpx", "uvicorn")
"""What else the snippets need; in the versions of this environment."""


def main() -> int:
    """Command line: write all records anew."""
    try:
        with find_postgres() as server:
            for name, releases in RUNS.items():
                snippet = SNIPPETS / name
                said = {release: run_with(release, snippet, server) for release in releases}
                text = record(snippet, said, versions(server))
                snippet.with_suffix(".txt").write_text(text, "utf-8")
                print(text)
    except PostgresError as error:
        print(error, file=sys.stderr)
        return 2
    except subprocess.CalledProcessError as error:
        print(f"{' '.join(map(str, error.cmd))} failed: {error.stderr.strip()}", file=sys.stderr)
        return 1
    return 0


def run_with(release: str, snippet: Path, server: Server) -> str:
    """What a snippet prints with that release of FastAPI, in an environment made for it."""
    pins = [f"{package}=={version(package.partition('[')[0])}" for package in BESIDE]
    with tempfile.TemporaryDirectory(prefix="older-") as folder:
        python = Path(folder, "bin", "python")
        for command in (
            ["venv", "--python", sys.executable, folder],
            ["pip", "install", "--python", python, f"fastapi=={release}", *pins],
        ):
            subprocess.run(
                [sys.executable, "-m", "uv", "--quiet", *command],
                capture_output=True, check=True, encoding="utf-8",
            )  # fmt: skip
        return outcome(python, snippet, server)


def outcome(python: Path, snippet: Path, server: Server) -> str:
    """The lines that a snippet prints; the last line of its traceback if it fails."""
    with fresh_database(server.url) as url:
        ran = subprocess.run(
            [python, snippet],
            env={"DATABASE_URL": url, "LANG": "C.UTF-8"},
            capture_output=True, encoding="utf-8", timeout=DEADLINE,
        )  # fmt: skip
    return (ran.stderr.strip().splitlines()[-1:] or [ran.stdout.strip()])[0]


def record(snippet: Path, said: Mapping[str, str], beside: Mapping[str, str]) -> str:
    """The text to keep: what was run, when and with what, then each outcome once.

    Args:
        snippet: The file that was run.
        said: Its outcome, by release of FastAPI.
        beside: The versions of all the rest.
    """
    rest = ", ".join(f"{what} {which}" for what, which in beside.items())
    today = datetime.date.today().isoformat()
    parts = [f"{snippet.name} {digest(snippet)[:12]}, {today}\n{rest}"]
    for outcome in dict.fromkeys(said.values()):
        releases = ", ".join(release for release in said if said[release] == outcome)
        parts.append(f"FastAPI {releases}\n{outcome}")
    return "\n\n".join(parts) + "\n"


if __name__ == "__main__":
    raise SystemExit(main())
