"""What the page on failures on purpose says beyond the outcomes of its projects."""

import asyncio
import os
import subprocess
import sys
from pathlib import Path

import pytest
from sqlalchemy import text

from tests.pools import MakeEngine
from tests.testing.readers import run_pytest
from tools.paths import SNIPPETS
from tools.postgres import Proxy
from tools.proof.projects import copy_project, read_outcome

PROJECTS = SNIPPETS / "testing/failures"
SERVER = SNIPPETS / "testing/postgres/server"
DAILY_WORK = "postgresql+asyncpg://no.server/at/all"
SECOND_ORDER = """    await order("longjing", key="guest 7, order 2")
    assert line.cuts == 1
    async with"""


def run(project: str, folder: Path, url: str, **replaced: str) -> str:
    """Run a project, in which each word is another, as a reader does; what pytest said."""
    [test] = (PROJECTS / project).glob("test_*.py")
    copy_project(test, folder)
    for old, new in replaced.items():
        sources = {file: file.read_text("utf-8") for file in folder.glob("*.py")}
        assert any(old in source for source in sources.values())
        for file, source in sources.items():
            file.write_text(source.replace(old, new), "utf-8")
    return run_pytest(folder, test, url, "-v").stdout


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


@pytest.mark.parametrize("project", ["cut", "commit", "slow", "black_hole"])
def test_the_proxies_fit_the_server_that_a_conftest_above_starts_on_a_socket(
    project: str, tmp_path: Path
) -> None:
    [test] = (PROJECTS / project).glob("test_*.py")
    (tmp_path / "conftest.py").write_bytes((SERVER / "conftest.py").read_bytes())
    (folder := tmp_path / "failures").mkdir()
    copy_project(test, folder)
    (folder / "pyproject.toml").rename(tmp_path / "pyproject.toml")
    ran = run_pytest(tmp_path, test, DAILY_WORK, "-v", folder.name)
    shown = test.read_text("utf-8").rstrip().splitlines()[-1].removeprefix("#> ")
    assert read_outcome(ran.stdout)[-1] == shown, ran.stdout


@pytest.mark.parametrize("project", ["cut", "commit"])
def test_tables_that_the_database_has_already_are_left_alone(
    project: str, tmp_path: Path, database_url: str, make_engine: MakeEngine
) -> None:
    engine = make_engine(database_url)

    async def begin() -> None:
        async with engine.begin() as connection:
            await connection.execute(text("CREATE TABLE orders (daily_work text)"))
            await connection.execute(text("INSERT INTO orders VALUES ('longjing')"))
        await engine.dispose()

    async def is_there() -> bool:
        async with engine.connect() as connection:
            found = await connection.scalar(text("SELECT to_regclass('orders') IS NOT NULL"))
        await engine.dispose()
        return bool(found)

    asyncio.run(begin())
    said = run(project, tmp_path, database_url)
    assert asyncio.run(is_there()), "the reader's own table orders is gone"
    assert f"{3 if project == 'cut' else 1} passed" in said


def test_the_key_hides_no_other_order_that_a_constraint_refuses(
    tmp_path: Path, database_url: str
) -> None:
    unique = {"tea: Mapped[str]": "tea: Mapped[str] = mapped_column(unique=True)"}
    first_only = "    assert line.cuts == 1\n    async with"
    said = run("commit", tmp_path, database_url, **unique, **{first_only: SECOND_ORDER})
    assert "IntegrityError" in said, "another order of the same tea is dropped without a word"


@pytest.mark.parametrize("project", ["cut", "commit"])
def test_with_psycopg_the_proxy_finds_the_same_words(
    project: str, tmp_path: Path, database_url: str
) -> None:
    to_psycopg = 'make_url(os.environ["DATABASE_URL"]).set(drivername="postgresql+psycopg")'
    replaced = {'make_url(os.environ["DATABASE_URL"])': to_psycopg}
    said = run(
        project, tmp_path, database_url, **replaced, **{'"ssl": False': '"sslmode": "disable"'}
    )
    assert ("OperationalError" in said) == (project == "cut")
    assert "3 failed, 3 passed" in said or "1 failed, 1 passed" in said


@pytest.mark.parametrize("ci", [True, False])
def test_in_ci_hypothesis_draws_the_same_unless_told_otherwise(ci: bool) -> None:
    program = "from hypothesis import settings; print(settings().derandomize)"
    inherited = {name: os.environ[name] for name in ("PATH", "HOME") if name in os.environ}
    said = subprocess.check_output(
        [sys.executable, "-c", program],
        env=inherited | ({"CI": "true"} if ci else {}),
        encoding="utf-8",
    )
    assert said.strip() == str(ci)


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
