"""What the page on failures on purpose says beyond the outcomes of its projects."""

import subprocess
import sys
from pathlib import Path

import pytest
from sqlalchemy import text

from tests.pools import MakeEngine
from tools.paths import SNIPPETS
from tools.postgres import Proxy
from tools.proof.projects import copy_project, make_environment

PROJECTS = SNIPPETS / "testing/failures"


def run(project: str, folder: Path, url: str, **replaced: str) -> str:
    """Run a project, in which each word is another, as a reader does; what pytest said."""
    [test] = (PROJECTS / project).glob("test_*.py")
    copy_project(test, folder)
    for old, new in replaced.items():
        sources = {file: file.read_text("utf-8") for file in folder.glob("*.py")}
        assert any(old in source for source in sources.values())
        for file, source in sources.items():
            file.write_text(source.replace(old, new), "utf-8")
    ran = subprocess.run(
        [sys.executable, "-m", "pytest", "-v", "-p", "no:cacheprovider", "--color=no"],
        cwd=folder, env={**make_environment(test, url), "COLUMNS": "2000"},
        capture_output=True, encoding="utf-8",
    )  # fmt: skip
    return ran.stdout


def test_without_pre_ping_the_restart_is_an_error(tmp_path: Path, database_url: str) -> None:
    said = run("killed", tmp_path, database_url, **{"pool_pre_ping=True, ": ""})
    assert "connection is closed" in said
    assert "1 failed" in said


def test_without_the_handler_a_full_pool_is_no_503(tmp_path: Path, database_url: str) -> None:
    said = run("full", tmp_path, database_url, **{"(PoolTimeoutError)": "(ZeroDivisionError)"})
    assert "1 failed, 1 passed" in said


def test_the_shortest_schedule_that_loses_a_connection_has_two_steps(
    tmp_path: Path, database_url: str
) -> None:
    said = run("schedules", tmp_path, database_url, **{"[House, ": "["})
    steps = [line.split("state.")[1] for line in said.splitlines() if "   state." in line]
    rest = "pool_lends_what_guests_hold()"
    found = [step for step in steps if step != rest]
    assert found == ["come(seat=0)", "cancel(seat=0)", "teardown()"]


@pytest.mark.parametrize("file", ["line.py", "conftest.py"])
def test_proxy_and_fixture_of_the_lost_commit_are_those_of_the_cut(file: str) -> None:
    assert (PROJECTS / "cut" / file).read_bytes() == (PROJECTS / "commit" / file).read_bytes()


async def test_asyncpg_sends_a_statement_that_it_knows_without_its_text(
    database_url: str, make_engine: MakeEngine
) -> None:
    heard: list[bytes] = []

    def hear(_: str, data: bytes) -> bytes:
        heard.append(data)
        return data

    async with Proxy(database_url) as proxy:
        proxy.edit = hear
        engine = make_engine(proxy.url, connect_args={"ssl": False})
        found = []
        async with engine.connect() as connection:
            for _ in range(2):
                heard.clear()
                await connection.execute(text("SELECT 'longjing'"))
                found.append(b"SELECT 'longjing'" in b"".join(heard))
        await engine.dispose()
    assert found == [True, False]
