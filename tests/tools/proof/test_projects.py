"""A pytest project says what its run said, harms nobody, and is named where it does not."""

import subprocess
import sys
from pathlib import Path

import pytest

from tests.report import report
from tools.postgres import Server, fresh_database
from tools.proof import judge, projects, prove, snippets

TEST = """\
from shop import pour


async def test_first() -> None:
    assert await pour("longjing") == "longjing"


async def test_second() -> None:
    assert await pour("oolong") == "pu-erh"


#> FAILED test_tea.py::test_second - AssertionError: assert 'oolong' == 'pu-erh'
#> 1 failed, 1 passed
"""
SHOP = """\
import os

from sqlalchemy import NullPool, text
from sqlalchemy.ext.asyncio import create_async_engine

engine = create_async_engine(os.environ["DATABASE_URL"], poolclass=NullPool)


async def pour(tea: str) -> str:
    async with engine.begin() as connection:
        return str(await connection.scalar(text("SELECT :tea"), {"tea": tea}))
"""
SETTINGS = """\
[tool.pytest.ini_options]
asyncio_mode = "auto"
asyncio_default_fixture_loop_scope = "function"
"""


@pytest.fixture
def project(tmp_path: Path) -> Path:
    (tmp_path / "shop.py").write_text(SHOP, "utf-8")
    (tmp_path / "pyproject.toml").write_text(SETTINGS, "utf-8")
    test = tmp_path / "test_tea.py"
    test.write_text(TEST, "utf-8")
    return test


def change(file: Path, old: str, new: str) -> None:
    text = file.read_text("utf-8")
    assert old in text
    file.write_text(text.replace(old, new), "utf-8")


def test_a_true_outcome_is_proved(project: Path, server: Server) -> None:
    report(filter(None, [judge.prove(project, server), judge.prove_as_reader(project, server)]))


@pytest.mark.parametrize(
    ("true", "false", "line"),
    [
        ("#> 1 failed, 1 passed\n", "#> 2 passed\n", 13),
        ("#> 1 failed, 1 passed\n", "", 13),
        ("assert 'oolong' ==", "assert 'longjing' ==", 12),
    ],
)
def test_a_false_outcome_is_named(
    project: Path, server: Server, true: str, false: str, line: int
) -> None:
    change(project, true, false)
    problem = judge.prove(project, server)
    assert problem.startswith(f"{project}:{line}: the run printed `#> "), problem


def test_a_table_that_stays_is_named(project: Path, server: Server) -> None:
    makes = 'await connection.execute(text("CREATE TABLE IF NOT EXISTS cups ()"))'
    change(project.with_name("shop.py"), "        return", f"        {makes}\n        return")
    assert "leaves behind table cups" in judge.prove(project, server)


def test_a_test_that_hangs_is_stopped_and_named(
    project: Path, server: Server, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(projects, "DEADLINE", 25.0)
    change(project.with_name("shop.py"), "SELECT :tea", "SELECT pg_sleep(600), :tea")
    problem = judge.prove(project, server)
    assert "did not end within 25 s; it waited in test_tea.py::test_first" in problem


@pytest.mark.parametrize(
    ("file", "old", "new", "said"),
    [
        ("test_tea.py", "from shop", "from market", "No module named 'market'"),
        ("pyproject.toml", "auto", "atuo", "'atuo' is not a valid asyncio_mode"),
    ],
)
def test_a_project_that_cannot_be_run_says_why(
    project: Path, server: Server, file: str, old: str, new: str, said: str
) -> None:
    change(project.with_name(file), old, new)
    problem = judge.prove(project, server)
    assert said in problem
    assert "\n" not in problem


def test_what_it_printed_is_written_at_its_end(project: Path, server: Server) -> None:
    project.write_text(TEST.partition("\n\n\n#>")[0] + "\n", "utf-8")
    assert prove.update(server, [project]) == [f"{project}: written anew"]
    assert project.read_text("utf-8") == TEST
    assert prove.update(server, [project]) == []


def test_no_plugin_of_ours_is_loaded(project: Path, server: Server) -> None:
    with fresh_database(server.url) as url:
        ran = subprocess.run(
            [sys.executable, "-m", "pytest", "--trace-config", "-p", "no:cacheprovider"],
            cwd=project.parent, env=projects.make_environment(project, url),
            capture_output=True, encoding="utf-8",
        )  # fmt: skip
    active = [line for line in ran.stdout.splitlines() if "site-packages" in line]
    assert [line for line in active if "pytest_asyncio" in line]
    strange = ("xdist", "timeout", "hypothesis", "examples", "platformdirs")
    assert [line for line in active if any(name in line for name in strange)] == []


def test_a_change_in_any_file_asks_for_a_new_run(project: Path) -> None:
    before = snippets.digest(project)
    change(project.with_name("pyproject.toml"), "function", "session")
    assert snippets.digest(project) != before


def test_paths_addresses_and_times_are_left_out() -> None:
    said = (
        "FAILED test_tea.py::test_a - RuntimeError: Task <Task pending name='Task-5' coro=<test_a()"
        " running at /tmp/reader-ab_c1/test_tea.py:8> cb=[f() at /usr/lib/python3.11/asyncio/"
        "base_events.py:180]> got Future <0x7f12345678>\n"
        "===== 1 failed, 1 warning in 61.20s (0:01:01) =====\n"
    )
    assert projects.read_outcome(said) == [
        "FAILED test_tea.py::test_a - RuntimeError: Task <Task pending name='Task-…' coro=<test_a()"
        " running at test_tea.py:8> cb=[f() at base_events.py:…]> got Future <0x…>",
        "1 failed, 1 warning",
    ]


def test_a_project_may_have_folders_and_its_lead_is_in_one(project: Path, server: Server) -> None:
    for name in ("app", "tests"):
        (project.parent / name).mkdir()
    (project.parent / "shop.py").rename(project.parent / "app" / "shop.py")
    moved = project.rename(project.parent / "tests" / project.name)
    change(moved, "from shop", "from app.shop")
    change(moved, "FAILED test_tea", "FAILED tests/test_tea")
    assert snippets.find_lead(project.parent / "app" / "shop.py") == moved
    report(filter(None, [judge.prove(moved, server)]))
