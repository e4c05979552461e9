"""Run every snippet against PostgreSQL and compare what it prints with its `#>` lines.

    python -m tools.prove [--update] [SNIPPET ...]

Each snippet runs in a process and in a database of its own. What was proved, with which versions,
is kept in `.cache/proofs.json`: the site shows it, and an unchanged snippet is not run again.
"""

import argparse
import contextlib
import datetime
import difflib
import hashlib
import json
import multiprocessing
import multiprocessing.connection
import os
import platform
import re
import subprocess
import sys
import tempfile
import traceback
from collections import Counter
from collections.abc import Callable, Iterable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor, as_completed
from dataclasses import dataclass
from importlib.metadata import version
from pathlib import Path
from types import SimpleNamespace
from typing import Any, cast

import click

from tools.occupied import Occupied
from tools.postgres import PostgresError, Server, find_postgres, fresh_database, leftovers
from tools.rooms import PROGRAMS, RECORD, ROOT, SNIPPETS

DEADLINE = 60.0
"""Seconds a snippet may take before it is stopped and counts as failed."""

OUTPUT = re.compile(r"^ *#> ?")
_AFTER_PRINT = re.compile(r"^( *)#> ", re.MULTILINE)
_FORMATTED = re.compile(r"^( *)# > ", re.MULTILINE)
_EDITION = (
    (re.compile(r"sqlalche\.me/e/20/"), "sqlalche.me/e/21/"),
    (re.compile(r"\bawait_only\(\)"), "await_()"),
    (re.compile(r"<class '[\w.]+'>: "), ""),
)
"""What SQLAlchemy 2.0 words otherwise than 2.1, which the pages print. Found by running both."""

_process = multiprocessing.get_context("forkserver")
_process.set_forkserver_preload(["asyncpg", "pytest_examples", "sqlalchemy.ext.asyncio"])


def snippets() -> list[Path]:
    """All snippet files, in the order of their names."""
    return sorted(set(SNIPPETS.rglob("*.py")) - set(PROGRAMS))


def name(snippet: Path) -> str:
    """`pool/size/default.py`: how pages include a snippet and the record knows it."""
    return snippet.relative_to(SNIPPETS).as_posix()


def spot(snippet: Path, line: int = 0) -> str:
    """Where a reader of an error looks, `snippets/pool/size/default.py:14`."""
    path = snippet.relative_to(ROOT) if snippet.is_relative_to(ROOT) else snippet
    return f"{path}:{line}" if line else f"{path}"


def in_todays_words(text: str) -> str:
    """Printed text as SQLAlchemy 2.1 words it, whichever version ran."""
    for old, new in _EDITION:
        text = old.sub(new, text)
    return text


# One snippet, in a process of its own


@dataclass(frozen=True)
class Rerun:
    """What one run of a snippet says its file should contain, or why it could not say."""

    text: str = ""
    problem: str = ""


def rerun(snippet: Path, database_url: str) -> Rerun:
    """Run a snippet in a new process and write its printed lines under its print() calls.

    Args:
        snippet: A file below `snippets/`.
        database_url: What the snippet finds in `DATABASE_URL`.

    Returns:
        The file's text with the `#>` lines of this run; or the problem, one sentence.
    """
    ours, theirs = _process.Pipe(duplex=False)
    with tempfile.TemporaryDirectory(prefix="prove-") as folder:
        child = _process.Process(target=_rerun_here, args=(snippet, database_url, folder, theirs))
        child.start()
        theirs.close()
        try:
            if not ours.poll(DEADLINE):
                return Rerun(problem=_too_long(snippet))
            return cast(Rerun, ours.recv())
        except EOFError:
            alone = f"make run SNIPPET={spot(snippet)}"
            return Rerun(problem=f"{spot(snippet)}: its process died; run it alone: {alone}")
        finally:
            ours.close()
            child.kill()  # whatever threads it left behind
            child.join()
            child.close()


def _too_long(snippet: Path) -> str:
    return f"{spot(snippet)}: did not end within {DEADLINE:.0f} s; shorten it"


def _rerun_here(
    snippet: Path,
    database_url: str,
    folder: str,
    answer: "multiprocessing.connection.Connection[Rerun, Any]",
) -> None:
    from pytest_examples import CodeExample, EvalExample, run_code

    # On Python 3.11 pytest-examples 0.0.18 builds a code object that cannot be read.
    vars(run_code)["create_example_traceback"] = lambda *_: None

    class WholeFile(CodeExample):
        def in_py_file(self) -> bool:
            return False  # else it would squeeze the blank lines of a real file

    os.environ["DATABASE_URL"] = database_url
    lines = snippet.read_text("utf-8").splitlines()
    code = [(number, line) for number, line in enumerate(lines, 1) if not OUTPUT.match(line)]
    example = WholeFile.create("\n".join(line for _, line in code) + "\n", path=snippet)
    # EvalExample asks pytest for no more than whether to update, and whose test this is.
    updating = SimpleNamespace(
        config=SimpleNamespace(getoption=lambda _: True), node=SimpleNamespace(nodeid="")
    )
    with _silence(Path(folder)):
        evaluate = EvalExample(tmp_path=Path(folder), pytest_request=cast(Any, updating))
        evaluate.set_config(line_length=1000)
        evaluate.print_callback = in_todays_words
        try:
            evaluate.run_print_update(example, rewrite_assertions=False)
        except BaseException as error:
            ran = [
                frame.lineno or 0
                for frame in traceback.extract_tb(error.__traceback__)
                if frame.filename.startswith(folder)
            ]
            if isinstance(error, SyntaxError):
                ran = [error.lineno or 0]
            line = code[ran[-1] - 1][0] if ran else 0
            what = traceback.format_exception_only(error)[-1].splitlines()[0]
            answer.send(Rerun(problem=f"{spot(snippet, line)}: raised {what}; mend the snippet"))
        else:
            answer.send(Rerun(text=example.source))


@contextlib.contextmanager
def _silence(folder: Path) -> Iterator[None]:
    """Keep logging and warnings of a snippet off our terminal; `as_reader` judges them."""
    with (folder / "said").open("w") as said:
        saved = os.dup(1), os.dup(2)
        os.dup2(said.fileno(), 1)
        os.dup2(said.fileno(), 2)
        try:
            yield
        finally:
            for number, descriptor in enumerate(saved, 1):
                os.dup2(descriptor, number)


def difference(snippet: Path, before: str, after: str) -> str:
    """The first line on which a run and the file disagree, as one sentence; empty if none."""
    old, new = before.splitlines(), after.splitlines()
    changes = difflib.SequenceMatcher(None, old, new, autojunk=False).get_opcodes()
    for kind, old_start, old_end, new_start, new_end in changes:
        if kind == "equal":
            continue
        says = f"`{old[old_start].strip()}`" if old_start < old_end else "nothing"
        ran = f"`{new[new_start].strip()}`" if new_start < new_end else "nothing"
        return (
            f"{spot(snippet, old_start + 1)}: the run printed {ran} here, the file says {says}; "
            "if the run is right, `make update` writes it"
        )
    return ""


class Refused(Exception):
    """A snippet ended at once and said in one line what it needs and has not."""


def prove(snippet: Path, server: Server, occupied: Occupied | None = None) -> str:
    """Run a snippet in a database of its own and judge it.

    Args:
        snippet: A file below `snippets/`.
        server: Where to run it.
        occupied: If given, the database is a reader's, in which every name is taken.

    Returns:
        The problem as one sentence that says where; empty if the snippet is proved.
    """
    with _database(server, occupied, ordinary=False) as (url, harm):
        result = rerun(snippet, url)
        if result.problem:
            return result.problem
        if wrong := difference(snippet, snippet.read_text("utf-8"), result.text):
            return wrong
        return _judge_harm(snippet, harm())


def prove_as_reader(
    snippet: Path, server: Server, occupied: Occupied | None = None, *, uvloop: bool = False
) -> str:
    """Run `python snippet.py` in an empty folder with nothing but `DATABASE_URL`, and judge it.

    Args:
        snippet: A file below `snippets/`.
        server: Where to run it.
        occupied: If given, the database is a reader's, in which every name is taken, and he is an
            ordinary role that owns this database only.
        uvloop: Run it on uvloop's event loop. What it prints there otherwise stands in a file
            beside it, `default.uvloop.txt`.

    Returns:
        The problem as one sentence that says where; empty if it ended well, said nothing on
        stderr, printed the lines of the file and left the server as it was.

    Raises:
        Refused: It said in one line why this role or server will not do, and left all as it was.
    """
    with (
        _database(server, occupied, ordinary=True) as (url, harm),
        tempfile.TemporaryDirectory(prefix="reader-") as folder,
        tempfile.TemporaryDirectory(prefix="loop-") as loop,
    ):
        Path(folder, snippet.name).write_bytes(snippet.read_bytes())
        environment = {"DATABASE_URL": url, "PATH": os.environ["PATH"], "LANG": "C.UTF-8"}
        if uvloop:
            Path(loop, "sitecustomize.py").write_text("import uvloop\nuvloop.install()\n", "utf-8")
            environment["PYTHONPATH"] = loop
        try:
            ran = subprocess.run(
                [sys.executable, snippet.name],
                cwd=folder,
                env=environment,
                stdin=subprocess.DEVNULL,
                capture_output=True,
                encoding="utf-8",
                timeout=DEADLINE,
            )
        except subprocess.TimeoutExpired:
            return _too_long(snippet)
        complaint = ran.stderr.strip().splitlines()
        if ran.returncode and len(complaint) == 1 and not ran.stdout:
            if wrong := _judge_harm(snippet, harm()):
                return wrong
            raise Refused(f"{spot(snippet)}: refuses to run here: {complaint[0]}")
        if ran.returncode:
            return f"{spot(snippet)}: exit code {ran.returncode}: {ran.stderr.strip()[-300:]}"
        if complaint:
            return f"{spot(snippet)}: says on stderr: {complaint[0]}; silence it"
        stated = Counter(expected_lines(snippet, uvloop=uvloop))
        printed = Counter(map(in_todays_words, ran.stdout.splitlines()))
        where = "under uvloop" if uvloop else "run by a reader"
        if missing := stated - printed:
            return f"{spot(snippet)}: {where} it does not print `{next(iter(missing))}`"
        if unsaid := printed - stated:
            return f"{spot(snippet)}: {where} it also prints `{next(iter(unsaid))}`"
        return _judge_harm(snippet, harm())


def expected_lines(snippet: Path, *, uvloop: bool) -> list[str]:
    """What a snippet prints by its file, or under uvloop by the file beside it if there is one."""
    other = snippet.with_suffix(".uvloop.txt")
    if uvloop and other.is_file():
        return other.read_text("utf-8").splitlines()
    lines = snippet.read_text("utf-8").splitlines()
    return [OUTPUT.sub("", line) for line in lines if OUTPUT.match(line)]


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


def _judge_harm(snippet: Path, harm: Sequence[str]) -> str:
    if not harm:
        return ""
    more = f" and {len(harm) - 3} more" if len(harm) > 3 else ""
    return (
        f"{spot(snippet)}: {', '.join(harm[:3])}{more}; dispose at its end, and make nothing whose "
        "name a reader may have in use"
    )


# The record


def versions(server: Server) -> dict[str, str]:
    """What a proof holds for."""
    return {
        "SQLAlchemy": version("sqlalchemy"),
        "asyncpg": version("asyncpg"),
        "psycopg": version("psycopg"),
        "PostgreSQL": server.version,
        "Python": platform.python_version(),
    }


def read_record() -> dict[str, Any]:
    """The record of the last run; empty where there is none or it cannot be read."""
    try:
        return cast(dict[str, Any], json.loads(RECORD.read_text("utf-8")))
    except (OSError, ValueError):
        return {"versions": {}, "snippets": {}}


def digest(snippet: Path) -> str:
    """SHA-256 of a snippet's bytes, in hexadecimal."""
    return hashlib.sha256(snippet.read_bytes()).hexdigest()


def unproved(record: dict[str, Any], wanted: Iterable[Path]) -> list[Path]:
    """Those snippets that the record does not show as proved in their present text."""

    def stands(snippet: Path) -> bool:
        entry = record["snippets"].get(name(snippet), {})
        return bool(entry.get("ok")) and entry.get("sha256") == digest(snippet)

    return [snippet for snippet in wanted if not stands(snippet)]


def prove_all(server: Server, wanted: Sequence[Path] | None = None) -> list[str]:
    """Prove the snippets that are not proved yet with these versions, and keep the record.

    Args:
        server: Where to run them.
        wanted: Snippet files; all of them if not given.

    Returns:
        The problems, one sentence each, in the order of the snippets.
    """
    now, record = versions(server), read_record()
    if record["versions"] != now:
        record = {"versions": now, "snippets": {}}
    every = {name(snippet): snippet for snippet in snippets()}
    record["snippets"] = {key: kept for key, kept in record["snippets"].items() if key in every}
    todo = unproved(record, every.values() if wanted is None else wanted)
    today = datetime.date.today().isoformat()
    with (
        ThreadPoolExecutor(os.cpu_count()) as pool,
        click.progressbar(length=len(todo), label="Proving snippets", show_pos=True) as bar,
    ):
        running = {pool.submit(prove, snippet, server): snippet for snippet in todo}
        for done in as_completed(running):
            snippet, problem = running[done], done.result()
            record["snippets"][name(snippet)] = {
                "sha256": digest(snippet), "when": today, "ok": not problem, "problem": problem,
            }  # fmt: skip
            bar.update(1)
    RECORD.parent.mkdir(exist_ok=True)
    RECORD.write_text(json.dumps(record, indent=1, ensure_ascii=False, sort_keys=True), "utf-8")
    asked = set(every) if wanted is None else set(map(name, wanted))
    return [
        kept["problem"]
        for key, kept in sorted(record["snippets"].items())
        if key in asked and not kept["ok"]
    ]


def prove_changed() -> None:
    """Prove what changed since the record was written, and say each problem on a line.

    The site's hook calls it before a live preview is rendered anew.
    """
    kept = read_record()["snippets"]
    changed = [
        snippet
        for snippet in snippets()
        if kept.get(name(snippet), {}).get("sha256") != digest(snippet)
    ]
    if changed:
        with find_postgres() as server:
            for problem in prove_all(server, changed):
                click.secho(problem, fg="red", err=True)


def formatted(texts: Sequence[str]) -> list[str]:
    """Snippets' texts as ruff formats them, which must not touch `#>`."""
    with tempfile.TemporaryDirectory() as folder:
        files = [Path(folder, f"{number}.py") for number in range(len(texts))]
        for file, text in zip(files, texts, strict=True):
            file.write_text(_AFTER_PRINT.sub(r"\1# > ", text), "utf-8")
        ruff = (sys.executable, "-m", "ruff", "format", "--quiet")
        subprocess.run([*ruff, "--config", SNIPPETS / "ruff.toml", folder], check=True)
        return [_FORMATTED.sub(r"\1#> ", file.read_text("utf-8")) for file in files]


def update(server: Server, wanted: Iterable[Path]) -> list[str]:
    """Write the lines that a run prints into the snippets.

    Returns:
        What was written and what went wrong, one sentence each.
    """
    said = []
    for snippet in wanted:
        with fresh_database(server.url) as url:
            result = rerun(snippet, url)
        if result.problem:
            said.append(result.problem)
        elif (text := formatted([result.text])[0]) != snippet.read_text("utf-8"):
            snippet.write_text(text, "utf-8")
            said.append(f"{spot(snippet)}: written anew")
    return said


def main() -> int:
    """Command line: prove the named snippets (all of them by default), or update them."""
    parser = argparse.ArgumentParser(prog="python -m tools.prove", description=__doc__)
    parser.add_argument("--update", action="store_true", help="rewrite the `#>` lines")
    parser.add_argument("--fresh", action="store_true", help="run again what is proved already")
    parser.add_argument("snippets", nargs="*", type=Path, help="files below snippets/")
    options = parser.parse_args()
    wanted = [file.resolve() for file in options.snippets] or snippets()
    for file in wanted:
        if not file.is_file() or SNIPPETS not in file.parents:
            print(f"{file}: no snippet; name a file below snippets/", file=sys.stderr)
            return 2
    if options.fresh:
        RECORD.unlink(missing_ok=True)
    try:
        with find_postgres() as server:
            print(f"PostgreSQL {server.version}, {server.origin}", file=sys.stderr)
            if options.update:
                for line in update(server, wanted):
                    print(line)
                return 0
            problems = prove_all(server, wanted)
    except PostgresError as error:
        print(error, file=sys.stderr)
        return 2
    for problem in problems:
        print(problem, file=sys.stderr)
    return 1 if problems else 0


if __name__ == "__main__":
    raise SystemExit(main())
