"""The command line says what is wrong in one sentence, and knows each command of the Makefile."""

import os
import re
import subprocess
import sys
from pathlib import Path

import click
import pytest
from click.testing import CliRunner

from tests.report import report
from tools.__main__ import Commands, main
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


@pytest.mark.parametrize(
    ("npm", "said"),
    [
        ("", "Error: There is no npm on the PATH: install Node.js, which brings it.\n"),
        (
            "#!/bin/sh\necho No such version >&2; exit 3\n",
            "No such version\nError: npm pack ended with exit code 3; mend what it says above, and "
            "run this again\n",
        ),
    ],
)
def test_a_program_that_is_missing_or_fails_is_one_line(
    tmp_path: Path, npm: str, said: str
) -> None:
    if npm:
        (tmp_path / "npm").write_text(npm, "utf-8")
        (tmp_path / "npm").chmod(0o755)
    assert run("vendor", "axe-core", PATH=str(tmp_path)).stderr == said


def test_a_program_that_takes_too_long_is_one_line() -> None:
    def wait() -> None:
        raise subprocess.TimeoutExpired(["/bin/python", Path("/tools/guests.py"), "a row"], 300)

    ran = CliRunner().invoke(Commands(commands=[click.Command("wait", callback=wait)]), ["wait"])
    assert ran.output == (
        "Error: python guests.py did not end within 300 s; run this again when the machine does "
        "nothing else\n"
    )


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
