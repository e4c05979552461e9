"""`make run`: a snippet, run as a reader runs it."""

import asyncio
import os
import signal
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest
from sqlalchemy import text
from sqlalchemy.ext.asyncio import create_async_engine

from tests.processes import hear_everything
from tools.paths import ROOT
from tools.postgres import EmbeddedPostgres

ITS_DATABASE = """
import asyncio, os
from sqlalchemy import text
from sqlalchemy.ext.asyncio import create_async_engine

async def main():
    engine = create_async_engine(os.environ["DATABASE_URL"])
    async with engine.connect() as connection:
        print(await connection.scalar(text("SELECT current_database()")), flush=True)
        await asyncio.sleep(SECONDS)

asyncio.run(main())
"""


@pytest.fixture(scope="module")
def own() -> Iterator[EmbeddedPostgres]:
    """The server that DATABASE_URL names."""
    with EmbeddedPostgres() as server:
        yield server


def start(snippet: Path | str, database_url: str) -> "subprocess.Popen[str]":
    """`python -m tools run`, as from a terminal of its own."""
    return subprocess.Popen(
        [sys.executable, "-m", "tools", "run", *([snippet] if snippet else [])],
        cwd=ROOT,
        env={**os.environ, "DATABASE_URL": database_url},
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        encoding="utf-8",
        start_new_session=True,
        preexec_fn=hear_everything,
    )


def outcome(snippet: Path | str, database_url: str = "") -> tuple[int, str, str]:
    """Exit code, output and complaints of a run."""
    with start(snippet, database_url) as program:
        said, complaints = program.communicate()
    return program.returncode, said, complaints


def databases(server: EmbeddedPostgres) -> list[str]:
    """The databases on a server besides its own."""

    async def names() -> list[str]:
        engine = create_async_engine(server.url())
        async with engine.connect() as connection:
            found = await connection.scalars(
                text("SELECT datname FROM pg_database WHERE datname LIKE 'guide%'")
            )
            result = list(found)
        await engine.dispose()
        return result

    return asyncio.run(names())


@pytest.mark.parametrize("code", [0, 3])
def test_output_and_exit_code_pass_through(
    own: EmbeddedPostgres, tmp_path: Path, code: int
) -> None:
    snippet = tmp_path / "snippet.py"
    snippet.write_text(
        f"import sys; print('茶'); print('!', file=sys.stderr); sys.exit({code})", "utf-8"
    )
    ended, said, complaints = outcome(snippet, own.url())
    assert (ended, said) == (code, "茶\n")
    assert complaints.startswith("PostgreSQL 18.")
    assert complaints.endswith(", DATABASE_URL\n!\n")


def test_it_gets_a_database_of_its_own_which_is_dropped(
    own: EmbeddedPostgres, tmp_path: Path
) -> None:
    snippet = tmp_path / "snippet.py"
    snippet.write_text(ITS_DATABASE.replace("SECONDS", "0"), "utf-8")
    ended, said, _ = outcome(snippet, own.url())
    assert ended == 0
    assert said.startswith("guide_")
    assert databases(own) == []


@pytest.mark.parametrize("name", ["SIGINT", "SIGTERM", "SIGHUP"])
def test_interrupted_it_says_nothing_and_leaves_nothing(
    own: EmbeddedPostgres, tmp_path: Path, name: str
) -> None:
    snippet = tmp_path / "snippet.py"
    snippet.write_text(ITS_DATABASE.replace("SECONDS", "60"), "utf-8")
    with start(snippet, own.url()) as program:
        try:
            assert program.stdout is not None
            database = program.stdout.readline().strip()
            assert databases(own) == [database]
            os.killpg(program.pid, signal.Signals[name])
            said, complaints = program.communicate()
        finally:
            program.kill()
    assert (program.returncode, said) == (128 + signal.Signals[name], "")
    assert complaints.count("\n") == 1
    assert databases(own) == []


def test_a_snippet_ended_by_a_signal_is_not_a_success(
    own: EmbeddedPostgres, tmp_path: Path
) -> None:
    snippet = tmp_path / "snippet.py"
    snippet.write_text("import os, signal; os.kill(os.getpid(), signal.SIGKILL)", "utf-8")
    assert outcome(snippet, own.url())[0] == 128 + signal.SIGKILL


def test_a_misspelt_name_brings_the_nearest() -> None:
    real = min((ROOT / "snippets").rglob("*.py")).relative_to(ROOT).as_posix()
    misspelt = real.replace(".py", "s.py")
    code, said, complaints = outcome(misspelt)
    assert (code, said) == (2, "")
    assert complaints.endswith(f"Error: {misspelt}: no such file; did you mean {real}?\n")


def test_without_a_name_it_says_how() -> None:
    code, _, complaints = outcome("")
    assert code == 2
    assert complaints.endswith("Error: Missing argument 'SNIPPET'.\n")


def test_a_server_it_cannot_use_is_one_line(tmp_path: Path) -> None:
    snippet = tmp_path / "snippet.py"
    snippet.write_text("print('never')", "utf-8")
    code, said, complaints = outcome(snippet, "postgresql://me:longjing@127.0.0.1/db")
    assert (code, said) == (2, "")
    assert complaints.startswith("DATABASE_URL begins with postgresql://, which names no async")
    assert complaints.count("\n") == 1
    assert "longjing" not in complaints
