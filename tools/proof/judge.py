"""A run judged: does it print what the file says, and does it leave the database as it was."""

import contextlib
import os
import runpy
import subprocess
import sys
import tempfile
from collections import Counter
from collections.abc import Callable, Iterable, Iterator, Sequence
from functools import partial
from pathlib import Path

from tools.paths import SNIPPETS
from tools.postgres import Server, fresh_database, leftovers
from tools.proof.compare import find_difference, normalize_wording
from tools.proof.occupied import Occupied
from tools.proof.pooler import pooled
from tools.proof.processes import DEADLINE, describe_timeout, kill_group
from tools.proof.projects import NOT_A_READERS
from tools.proof.rerun import rerun
from tools.proof.snippets import (
    expected_lines,
    find_encoding_fault,
    find_pooler,
    is_project,
    location,
    printed_lines,
)

UVLOOP = """import warnings

import uvloop

with warnings.catch_warnings(action="ignore", category=DeprecationWarning):
    uvloop.install()
"""
"""Has a program run on uvloop, and each that it starts; deprecated since Python 3.12."""

LEAVES_CONNECTIONS = frozenset(
    SNIPPETS / name
    for name in (
        "pool/classes/two_loops.py",
        "pool/dispose/late.py",
        "pool/drivers/loops.py",
        "pool/drivers/threads.py",
        "production/deploys/given_back.py",
        "production/frameworks/django_wsgi.py",
        "production/loops/flask_views.py",
        "sessions/fastapi/own_engine.py",
        "sessions/tasks/drained.py",
    )
)
"""Snippets that show connections which get lost: theirs go with the process, not before."""


class Refused(Exception):
    """A snippet ended at once and said in one line what it needs and has not."""


def prove(
    snippet: Path, server: Server, occupied: Occupied | None = None, *, ordinary: bool = False
) -> str:
    """Run a snippet in a database of its own and judge it.

    Args:
        snippet: A file below `snippets/`.
        server: Where to run it.
        occupied: If given, the database is a reader's, in which every name is taken.
        ordinary: There it is run by a role that owns this database only.

    Returns:
        The problem as one sentence that says where; empty if the snippet is proved.
    """
    with _database(server, occupied, ordinary=ordinary) as (url, find_harm):
        with rerun(snippet, url) as result:
            if result.problem:
                return result.problem
            if wrong := find_difference(snippet, snippet.read_text("utf-8"), result.text):
                return wrong
            if snippet not in LEAVES_CONNECTIONS and not find_pooler(snippet):
                return _describe_harm(snippet, find_harm())
        return _describe_harm(snippet, find_harm())


def prove_as_reader(snippet: Path, server: Server, occupied: Occupied | None = None) -> str:
    """Run `python snippet.py` in an empty folder with nothing but `DATABASE_URL`, and judge it.

    Args:
        snippet: A file below `snippets/`.
        server: Where to run it.
        occupied: If given, the database is a reader's, in which every name is taken, and he is an
            ordinary role that owns this database only.

    Returns:
        The problem as one sentence that says where; empty if it ended well, said nothing on
        stderr, printed the lines of the file and left the server as it was.

    Raises:
        Refused: It said in one line why this role or server will not do, and left all as it was.
    """
    if is_project(snippet):  # runs so each time
        return prove(snippet, server, occupied, ordinary=True)
    if wrong := find_encoding_fault(snippet):
        return wrong
    with _database(server, occupied, ordinary=True) as (url, find_harm):
        try:
            ran = _run_as_reader(snippet, url)
        except subprocess.TimeoutExpired as error:
            return describe_timeout(snippet, DEADLINE, [_last_line(snippet, error.stderr)])
        complaint = ran.stderr.strip().splitlines()
        if ran.returncode and len(complaint) == 1 and not ran.stdout:
            if wrong := _describe_harm(snippet, find_harm()):
                return wrong
            said = f"refuses to run here: {complaint[0].rstrip('.')}"
            raise Refused(f"{location(snippet)}: {said}; run it where that is given")
        if ran.returncode:
            how = f"with exit code {ran.returncode}: {_find_error(complaint)}"
            return f"{location(snippet)}: run by a reader it ends {how}; mend the snippet"
        if complaint:
            return f"{location(snippet)}: says on stderr: {complaint[0]}; silence it"
        wrong = _compare_lines(snippet, ran.stdout.splitlines(), "run by a reader")
        return wrong or _describe_harm(snippet, find_harm())


def prove_under_uvloop(snippet: Path, server: Server) -> str:
    """Run a snippet on uvloop's event loop, in a database of its own, and judge it.

    Args:
        snippet: A program below `snippets/`. What it prints there otherwise stands in a file
            beside it, `default.uvloop.txt`.
        server: Where to run it.

    Returns:
        The problem as one sentence that says where; empty if there is none.
    """
    with (
        tempfile.TemporaryDirectory(prefix="loop-") as folder,
        _database(server, None, ordinary=True) as (url, find_harm),
    ):
        Path(folder, "sitecustomize.py").write_text(UVLOOP, "utf-8")
        with rerun(snippet, url, change=partial(_use_uvloop, folder)) as result:
            if result.problem:
                return f"{result.problem}; it ran under uvloop"
            if said := result.complaint:
                return f"{location(snippet)}: under uvloop it says on stderr: {said}; silence it"
        wrong = _compare_lines(snippet, printed_lines(result.text), "under uvloop", uvloop=True)
        return wrong or _describe_harm(snippet, find_harm())


def _use_uvloop(folder: str) -> None:
    os.environ["PYTHONPATH"] = folder  # for the programs that it starts
    runpy.run_path(f"{folder}/sitecustomize.py")


def _compare_lines(snippet: Path, lines: Iterable[str], where: str, *, uvloop: bool = False) -> str:
    """Where a run and the file disagree, in whichever order lines came; empty if they do not."""
    expected = Counter(expected_lines(snippet, uvloop=uvloop))
    printed = Counter(map(normalize_wording, lines))
    also = f", or write into {snippet.stem}.uvloop.txt what differs" if uvloop else ""
    cure = f"let it print there what it prints elsewhere{also}"
    if missing := expected - printed:
        return f"{location(snippet)}: {where} it does not print `{next(iter(missing))}`; {cure}"
    if surplus := printed - expected:
        return f"{location(snippet)}: {where} it also prints `{next(iter(surplus))}`; {cure}"
    return ""


def _run_as_reader(snippet: Path, database_url: str) -> subprocess.CompletedProcess[str]:
    with (
        tempfile.TemporaryDirectory(prefix="reader-") as folder,
        pooled(snippet, database_url) as url,
    ):
        Path(folder, snippet.name).write_bytes(snippet.read_bytes())
        environment = {
            "DATABASE_URL": url,
            "PATH": os.environ["PATH"],
            "LANG": "C.UTF-8",
            # What is deprecated anywhere below the snippet, or in a child of it, is an error.
            "PYTHONWARNINGS": f"error::DeprecationWarning,{NOT_A_READERS}",
        }
        with subprocess.Popen(
            # faulthandler: a snippet that is stopped says at which line.
            [sys.executable, "-X", "faulthandler", snippet.name],
            cwd=folder, env=environment, stdin=subprocess.DEVNULL, stdout=subprocess.PIPE,
            stderr=subprocess.PIPE, encoding="utf-8", process_group=0,
        ) as program:  # fmt: skip
            try:
                stdout, stderr = program.communicate(timeout=DEADLINE)
            except subprocess.TimeoutExpired:
                program.send_signal(6)  # SIGABRT, on which faulthandler writes
                _, stderr = program.communicate()
                raise subprocess.TimeoutExpired(snippet.name, DEADLINE, stderr=stderr) from None
            finally:
                kill_group(program.pid)
        return subprocess.CompletedProcess(program.args, program.returncode, stdout, stderr)


def _find_error(complaint: Sequence[str]) -> str:
    """The line that names an exception: the first below the last traceback that is not indented."""
    begins = [at for at, line in enumerate(complaint) if line.startswith("Traceback ")]
    below = complaint[begins[-1] + 1 if begins else 0 :]
    return next((line for line in below if not line.startswith(" ")), "it does not say why")


def _last_line(snippet: Path, stderr: object) -> str:
    """`at snippets/pool/size/default.py:14`, from what faulthandler wrote."""
    for line in str(stderr).splitlines():
        _, _, after = line.partition(f'{snippet.name}", line ')
        if after:
            return f"at {location(snippet, int(after.split()[0]))}"
    return "in code that is not its own"


@contextlib.contextmanager
def _database(
    server: Server, occupied: Occupied | None, *, ordinary: bool
) -> Iterator[tuple[str, Callable[[], list[str]]]]:
    """The URL for a snippet, and a function that tells what the snippet did to the database."""
    if occupied:
        with occupied.database(ordinary=ordinary) as taken:
            yield taken.url, taken.changes
    else:
        with fresh_database(server.url) as url:
            yield url, lambda: [f"leaves behind {what}" for what in leftovers(url)]


def _describe_harm(snippet: Path, harm: Sequence[str]) -> str:
    if not harm:
        return ""
    more = f" and {len(harm) - 3} more" if len(harm) > 3 else ""
    return (
        f"{location(snippet)}: {', '.join(harm[:3])}{more}; dispose at its end, and make nothing "
        "whose name a reader may have in use"
    )
