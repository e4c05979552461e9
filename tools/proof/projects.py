"""A snippet that is a small pytest project: `test_*.py`, what stands beside it, and its outcome.

It runs as a reader runs it: `python -m pytest` in a folder with those files and no other, with the
two plugins that a reader of the chapter has, and none that this repository brings besides.
"""

import os
import re
import subprocess
import sys
import tempfile
from collections.abc import Mapping
from pathlib import Path

from tools.postgres import find_temporary_folder
from tools.proof.compare import normalize_wording
from tools.proof.processes import DEADLINE, Rerun, describe_timeout, kill_group, stoppable
from tools.proof.snippets import (
    OUTPUT,
    find_encoding_fault,
    find_folder,
    list_files,
    location,
)

PLUGINS = {
    "pytest_asyncio.plugin": "",
    "anyio.pytest_plugin": "",
    "xdist.plugin": "-n ",
    "pytest_timeout": "timeout =",
    "pytest_postgresql.plugin": "postgresql_",
}
"""What is loaded, and which words in a project's settings ask for it; empty: always."""

NOT_A_READERS = "ignore:The declarative_mixin decorator:DeprecationWarning"
"""Litestar imports advanced-alchemy where it finds it, which SQLAlchemy 2.1 finds old-fashioned.

May go when a release of advanced-alchemy after 1.12 no longer uses that decorator.
"""

_SUMMARY = re.compile(r"^(?:FAILED|ERROR|XFAIL|XPASS) \S.*")  # "ERROR    " is a log's
_END = re.compile(r"^=+ (.*\d (?:passed|failed|error|skipped|xfailed).*?) in [\d.]+s.*=+$")
_STARTED = re.compile(r"^(\S+::\S+)", re.MULTILINE)
_VARIES = (
    (re.compile(r"0x[0-9a-f]{6,}"), "0x…"),
    (re.compile(r"\bTask-\d+"), "Task-…"),
    (re.compile(r"/\S*/reader-[^/\s]+/"), ""),
    (re.compile(r"/\S+/(\w+\.py):\d+"), r"\1:…"),
)
"""What differs from run to run, or from machine to machine."""


def copy_project(snippet: Path, folder: Path) -> None:
    """Copy the files of a project, without what it printed."""
    for file in list_files(snippet):
        copy = folder / file.relative_to(find_folder(snippet) or snippet.parent)
        copy.parent.mkdir(parents=True, exist_ok=True)
        copy.write_bytes(file.read_bytes())


def read_outcome(stdout: str) -> list[str]:
    """What pytest said of failed tests and of all, without what differs from run to run."""
    found = []
    for line in stdout.splitlines():
        if end := _END.match(line):
            found.append(end[1])
        elif _SUMMARY.match(line):
            found.append(line.rstrip())
    for pattern, instead in _VARIES:
        found = [pattern.sub(instead, line) for line in found]
    return list(map(normalize_wording, found))


def rerun_project(snippet: Path, database_url: str) -> Rerun:
    """Run a project and write its outcome at the end of its `test_*.py`.

    Args:
        snippet: The `test_*.py`.
        database_url: What the tests find in `DATABASE_URL`.

    Returns:
        The file's text with the `#>` lines of this run; or the problem, one sentence.
    """
    for file in list_files(snippet):
        if wrong := find_encoding_fault(file):
            return Rerun(problem=wrong)
    with tempfile.TemporaryDirectory(prefix="reader-", dir=find_temporary_folder()) as folder:
        copy_project(snippet, Path(folder))
        return _judge(snippet, *_run(snippet, Path(folder), database_url))


def _judge(snippet: Path, code: int | None, stdout: str, stderr: str) -> Rerun:
    if code is None:
        started = _STARTED.findall(stdout)
        wait = f"in {started[-1]}" if started else "before its first test"
        return Rerun(problem=describe_timeout(snippet, DEADLINE, [wait]))
    if code not in (0, 1):  # 1: tests failed, which may be what it shows
        errors = [line for line in (stdout + stderr).splitlines() if re.match("E  |ERROR", line)]
        said = (errors or stderr.strip().splitlines()[-1:] or ["nothing"])[0]
        return Rerun(
            problem=f"{location(snippet)}: pytest ended with exit code {code}: {said}; mend that"
        )
    lines = [line for line in snippet.read_text("utf-8").splitlines() if not OUTPUT.match(line)]
    outcome = "\n".join(f"#> {line}" for line in read_outcome(stdout))
    return Rerun(text="\n".join(lines).rstrip() + f"\n\n\n{outcome}\n")


def make_environment(snippet: Path, database_url: str) -> dict[str, str]:
    """The environment in which pytest loads no plugin but a reader's."""
    settings = [file.read_text("utf-8") for file in list_files(snippet) if file.suffix != ".py"]
    plugins = [name for name, asks in PLUGINS.items() if asks in "\n".join(["", *settings])]
    return {
        "DATABASE_URL": database_url,
        "PATH": os.environ["PATH"],
        "LANG": "C.UTF-8",
        "PYTEST_ADDOPTS": f"-W '{NOT_A_READERS}'",
        "PYTEST_DISABLE_PLUGIN_AUTOLOAD": "1",
        "PYTEST_PLUGINS": ",".join(plugins),
    }


def choose_user(environment: Mapping[str, str]) -> list[str]:
    """What a command begins with so that it may start a server, which refuses root.

    Root becomes nobody by name only, for nobody may not enter root's folders.
    """
    if "pytest_postgresql" not in environment["PYTEST_PLUGINS"] or os.geteuid() != 0:
        return []
    return ["unshare", "--user", "--map-user=65534", "--map-group=65534"]


def _run(snippet: Path, folder: Path, database_url: str) -> tuple[int | None, str, str]:
    """Exit code, none if it was stopped, and what pytest said."""
    environment = make_environment(snippet, database_url)
    environment["COLUMNS"] = "2000"  # a line of the summary is cut to the width of the terminal
    environment["PYTEST_DEBUG_TEMPROOT"] = str(folder)  # where its temporary folders go
    environment["TMPDIR"] = find_temporary_folder()  # a server of its own is faster in RAM
    with subprocess.Popen(
        [*choose_user(environment), sys.executable, "-m", "pytest", "-v",
         "-p", "no:cacheprovider", "--color=no"],
        cwd=folder, env=environment, stdin=subprocess.DEVNULL, stdout=subprocess.PIPE,
        stderr=subprocess.PIPE, encoding="utf-8", process_group=0,
    ) as program, stoppable(program.pid):  # fmt: skip
        try:
            stdout, stderr = program.communicate(timeout=DEADLINE)
        except subprocess.TimeoutExpired:
            kill_group(program.pid)
            return None, *program.communicate()
    return program.returncode, stdout, stderr
