"""The command line says what is wrong in one sentence, and knows each command of the Makefile."""

import os
import re
import subprocess
import sys

import pytest

from tests.report import report
from tools.__main__ import main
from tools.paths import ROOT
from tools.postgres import free_port


def run(*arguments: str, **environment: str) -> "subprocess.CompletedProcess[str]":
    """Run `python -m tools` with these arguments."""
    return subprocess.run(
        [sys.executable, "-m", "tools", *arguments],
        cwd=ROOT,
        env={**os.environ, **environment},
        capture_output=True,
        encoding="utf-8",
    )


@pytest.mark.parametrize("command", ["prepare", "update", "run"])
def test_a_snippet_that_does_not_exist_is_a_sentence_with_the_nearest_name(command: str) -> None:
    ran = run(command, "snippets/pool/size/defalt.py")
    assert ran.returncode == 2
    assert "Traceback" not in ran.stderr
    assert "snippets/pool/size/default.py" in ran.stderr.splitlines()[-1]


@pytest.mark.parametrize("command", ["prepare", "update", "run"])
def test_a_database_that_cannot_be_reached_is_one_line(command: str) -> None:
    url = f"postgresql+asyncpg://a:b@127.0.0.1:{free_port()}/c"
    ran = run(command, "snippets/pool/size/default.py", DATABASE_URL=url)
    assert (ran.returncode, ran.stdout) == (2, "")
    assert ran.stderr.count("\n") == 1
    assert "connection refused" in ran.stderr


def test_a_target_runs_the_command_of_its_name() -> None:
    makefile = (ROOT / "Makefile").read_text("utf-8")
    recipes = dict(re.findall(r"^(\w+):.*\n((?:\t.*\n)+)", makefile, re.MULTILINE))
    report(
        f"Makefile: `make {name}` does not run `python -m tools {name}`; let it, or name one of "
        "them otherwise"
        for name in main.commands
        if name in recipes and f"-m tools {name}" not in recipes[name]
    )


def test_the_makefile_names_commands_that_there_are() -> None:
    told = run("--help").stdout
    wanted = re.findall(r"-m tools (\w+)", (ROOT / "Makefile").read_text("utf-8"))
    assert wanted
    assert [name for name in wanted if f"\n  {name} " not in told] == []
