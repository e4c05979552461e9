"""One snippet in a process of its own, and what its file should say after that run."""

import contextlib
import multiprocessing
import multiprocessing.connection
import os
import re
import signal
import time
import traceback
import warnings
from collections.abc import Callable, Iterator
from dataclasses import dataclass, replace
from pathlib import Path
from tempfile import TemporaryDirectory
from types import FrameType, SimpleNamespace
from typing import Any, cast

from tools.proof.compare import normalize_wording
from tools.proof.pooler import find_lack, pooled
from tools.proof.processes import DEADLINE, Rerun, describe_timeout, stoppable
from tools.proof.projects import rerun_project
from tools.proof.snippets import OUTPUT, find_encoding_fault, is_project, location
from tools.proof.waits import list_waits

TO_ANSWER = 5.0
"""Seconds more in which it may say what it waited for."""

_Answer = multiprocessing.connection.Connection

_process = multiprocessing.get_context("forkserver")
_process.set_forkserver_preload(["asyncpg", "pytest_examples", "sqlalchemy.ext.asyncio"])


@contextlib.contextmanager
def rerun(
    snippet: Path,
    database_url: str,
    recorded_from: str = "",
    change: Callable[[], None] | None = None,
) -> Iterator[Rerun]:
    """Run a snippet in a new process and write what it prints under its print() calls.

    The process stays until the block ends: what the snippet did not close is open meanwhile.

    Args:
        snippet: A file below `snippets/`.
        database_url: What the snippet finds in `DATABASE_URL`.
        recorded_from: Another database of the server, from which a recorder looks on. Without it
            there is none, and nothing of SQLAlchemy is touched.
        change: What to do to SQLAlchemy before, for the tests.

    Yields:
        The file's text with the `#>` lines of this run; or the problem, one sentence.
    """
    if wrong := find_encoding_fault(snippet) or find_lack(snippet):
        yield Rerun(problem=wrong)
        return
    if is_project(snippet):
        yield rerun_project(snippet, database_url)
        return
    ours, theirs = _process.Pipe()
    with pooled(snippet, database_url) as url, TemporaryDirectory(prefix="prove-") as folder:
        child = _process.Process(
            target=_rerun_here,
            args=(snippet, url, folder, DEADLINE, theirs, recorded_from, change),
        )
        child.start()
        theirs.close()
        with contextlib.closing(child), contextlib.closing(ours):
            with stoppable(child.pid):
                yield _receive(ours, snippet)
            child.join()


def _receive(answer: "_Answer[Any, Rerun]", snippet: Path) -> Rerun:
    if not answer.poll(DEADLINE + TO_ANSWER):
        return Rerun(
            problem=describe_timeout(snippet, DEADLINE, ["in code that no signal reaches"])
        )
    try:
        return answer.recv()
    except EOFError:
        alone = f"make run SNIPPET={location(snippet)}"
        return Rerun(problem=f"{location(snippet)}: its process died; run it alone: {alone}")


def _rerun_here(
    snippet: Path,
    database_url: str,
    folder: str,
    deadline: float,
    parent: "_Answer[Rerun, Any]",
    recorded_from: str,
    change: Callable[[], None] | None,
) -> None:
    os.setpgid(0, 0)
    os.environ["DATABASE_URL"] = database_url
    lines = snippet.read_text("utf-8").splitlines()
    code = [(number, line) for number, line in enumerate(lines, 1) if not OUTPUT.match(line)]
    place = _Place(snippet, folder, [number for number, _ in code])

    def give_up(_: int, frame: FrameType | None) -> None:
        waits = [place.name_lines(wait) for wait in list_waits(frame, (Path(folder),))]
        parent.send(Rerun(problem=describe_timeout(snippet, deadline, waits)))
        os._exit(1)

    signal.signal(signal.SIGALRM, give_up)
    signal.setitimer(signal.ITIMER_REAL, deadline)
    if change:
        change()
    with _silence(Path(folder)) as read_complaint:
        text = "\n".join(line for _, line in code) + "\n"
        found = _record(text, place, recorded_from) if recorded_from else _print_lines(text, place)
        if not found.problem and (left := place.name_lines(" and ".join(_left_running(folder)))):
            problem = f"{location(snippet)}: ends while it still waits {left}; end that first"
            found = Rerun(problem=problem)
        signal.setitimer(signal.ITIMER_REAL, 0)
        parent.send(replace(found, complaint=read_complaint()))
        with contextlib.suppress(EOFError):
            parent.recv()


@dataclass(frozen=True)
class _Place:
    """The snippet, and the copy without `#>` lines that runs in its place."""

    snippet: Path
    folder: str
    numbers: list[int]
    """The number in the snippet of each line of the copy."""

    def line(self, error: BaseException) -> int:
        """The line of the snippet that raised an error; 0 if none did."""
        if isinstance(error, SyntaxError):
            ran = [error.lineno or 0]
        else:
            ran = [
                frame.lineno or 0
                for frame in traceback.extract_tb(error.__traceback__)
                if frame.filename.startswith(self.folder)
            ]
        return self.number(ran[-1]) if ran else 0

    def number(self, line: int) -> int:
        """The number in the snippet of a line of the copy; 0 if it has no such line."""
        return self.numbers[line - 1] if 0 < line <= len(self.numbers) else 0

    def name_lines(self, phrase: str) -> str:
        """A phrase about lines of the copy, about those of the snippet."""
        return re.sub(
            r"[\w./-]+\.py:(\d+)",
            lambda found: (
                location(self.snippet, self.numbers[int(found[1]) - 1])
                if not found[0].startswith("/") and int(found[1]) <= len(self.numbers)
                else found[0]
            ),
            phrase,
        )


def _print_lines(code: str, place: _Place) -> Rerun:
    from pytest_examples import CodeExample, EvalExample, run_code

    # pytest-examples 0.0.18 builds a code object for the traceback that Python 3.11 cannot read:
    # https://github.com/python/cpython/issues/116033. The line may go with Python 3.11, or with a
    # release of https://github.com/pydantic/pytest-examples that passes tests/tools without it.
    run_code.create_example_traceback = lambda *_: None  # type: ignore[attr-defined]

    class WholeFile(CodeExample):
        def in_py_file(self) -> bool:
            return False  # else it would squeeze the blank lines of a real file

    example = WholeFile.create(code, path=place.snippet)
    # EvalExample asks pytest for no more than whether to update, and whose test this is.
    updating = SimpleNamespace(
        config=SimpleNamespace(getoption=lambda _: True), node=SimpleNamespace(nodeid="")
    )
    evaluate = EvalExample(tmp_path=Path(place.folder), pytest_request=cast(Any, updating))
    evaluate.set_config(line_length=1000)
    evaluate.print_callback = normalize_wording
    forgotten = _watch_for_forgotten_awaits()
    try:
        evaluate.run_print_update(example, rewrite_assertions=False)
    except BaseException as error:
        what = traceback.format_exception_only(error)[-1].splitlines()[0]
        where = location(place.snippet, place.line(error))
        return Rerun(problem=f"{where}: raised {what}; mend the snippet")
    if forgotten:
        where = location(place.snippet, place.number(forgotten[0]))
        return Rerun(problem=f"{where}: a coroutine was never awaited; write `await` before it")
    return Rerun(text=example.source)


def _record(code: str, place: _Place, server_url: str) -> Rerun:
    from tools.proof.drawing import make_recording
    from tools.proof.hooks import install
    from tools.proof.observed import Eye
    from tools.proof.recorder import Recorder

    recorder = Recorder(place.folder, Eye(server_url, os.environ["DATABASE_URL"]))
    install(recorder)
    found = _print_lines(code, place)
    recorder.tell("end", None)
    return replace(found, recording=make_recording(recorder, place.snippet, place.number))


def _watch_for_forgotten_awaits() -> list[int]:
    """The lines, filled from now on, at which a coroutine is dropped that nobody awaited."""
    lines = list[int]()

    show = warnings.showwarning

    def note(message: Warning | str, category: Any, file: str, at: int, *to: Any) -> None:
        if "was never awaited" in str(message):
            lines.append(at)
        else:
            show(message, category, file, at, *to)

    # Of what a snippet does not catch itself.
    warnings.showwarning = note  # type: ignore[assignment]
    return lines


def _left_running(folder: str) -> list[str]:
    """Threads and children that have not ended when the program has; they get a moment."""
    end = time.monotonic() + TO_ANSWER
    while left := list(list_waits(None, (Path(folder),))):
        if time.monotonic() > end:
            break
        time.sleep(0.01)
    return left


@contextlib.contextmanager
def _silence(folder: Path) -> Iterator[Callable[[], str]]:
    """Keep logging and warnings of a snippet off our terminal; gives what tells the first line."""
    with (folder / "printed").open("wb") as printed, (folder / "said").open("wb") as said:
        saved = os.dup(1), os.dup(2)
        os.dup2(printed.fileno(), 1)
        os.dup2(said.fileno(), 2)
        try:
            yield lambda: Path(said.name).read_text("utf-8", "replace").strip().partition("\n")[0]
        finally:
            for number, descriptor in enumerate(saved, 1):
                os.dup2(descriptor, number)
