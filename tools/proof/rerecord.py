"""Record the runs of snippets, so that readers can watch them: `tools record`."""

import hashlib
import os
from collections.abc import Callable, Iterable
from concurrent.futures import ThreadPoolExecutor, as_completed
from pathlib import Path

import click

from tools.postgres import Server, find_postgres, fresh_database
from tools.proof.compare import find_difference
from tools.proof.record import current_versions
from tools.proof.recording import MOST_BYTES, MOST_STEPS, Recording, recording_path
from tools.proof.rerun import rerun, stop_running
from tools.proof.snippets import digest, list_snippets, location, snippet_name

RECORDER = (
    "around",
    "drawing",
    "hooks",
    "joining",
    "observed",
    "recorder",
    "recording",
    "whereabouts",
)
"""The modules that make a recording what it is."""
_NO_CONNECTION = "no engine of it ever opens a connection"
_ELSEWHERE = "what it shows happens in another process"
UNFOLLOWED = {
    "concepts/pool/opening_costs.py": "it measures time, of which the recorder takes some",
    "pool/classes/refused.py": _NO_CONNECTION,
    "pool/dispose/fork.py": _ELSEWHERE,
    "pool/size/processes.py": _ELSEWHERE,
    "sessions/dependency/leftovers.py": _NO_CONNECTION,
    "sessions/fastapi/app.py": "an application, which its page runs in others",
    "start/quickstart/mend_url.py": _NO_CONNECTION,
    "start/quickstart/parts.py": _NO_CONNECTION,
    "start/quickstart/wrong_scheme.py": _NO_CONNECTION,
}
"""Snippets whose runs nobody can watch, and why."""
ENDS_LENT = frozenset({"sessions/tasks/drained.py"})
"""Snippets that show connections which only garbage collection gives back, if it comes in time."""


def record(snippet: Path, server: Server, change: Callable[[], None] | None = None) -> Recording:
    """Run a snippet once more, in a database of its own, with a recorder.

    Args:
        snippet: A file below `snippets/`.
        server: Where to run it.
        change: What to do to SQLAlchemy before, for the tests.

    Returns:
        The recording; or one that says in a sentence why there is none. What failed is tried
        again once: the recorder takes time, and a machine may have none to spare.
    """
    first = _record(snippet, server, change)
    return _record(snippet, server, change) if first.problem and not change else first


def _record(snippet: Path, server: Server, change: Callable[[], None] | None) -> Recording:
    with fresh_database(server.url) as url, rerun(snippet, url, server.url, change) as result:
        found = result.recording or Recording()
        found.sha256, found.versions = digest(snippet), versions_of_recording(server)
        text = snippet.read_text("utf-8")
        found.problem = result.problem or find_difference(snippet, text, result.text)
    found.problem = found.problem or _find_fault(snippet, found)
    return found


def _find_fault(snippet: Path, recording: Recording) -> str:
    """Why a run that printed its lines cannot be watched all the same; empty if it can."""
    if not recording.engines:
        return (
            f"{location(snippet)}: no engine of it opens a connection, so there is nothing to "
            "watch; say so in UNFOLLOWED in tools/proof/rerecord.py"
        )
    if (steps := len(recording.steps)) > MOST_STEPS:
        return (
            f"{location(snippet)}: its replay has {steps} steps, {MOST_STEPS} at most; shorten it"
        )
    if (weight := recording.weight()) > MOST_BYTES:
        return (
            f"{location(snippet)}: its replay has {weight} bytes, {MOST_BYTES} at most; shorten it"
        )
    return ""


def versions_of_recording(server: Server) -> dict[str, str]:
    """What a recording holds for: other versions, or another recorder, and it is made anew."""
    code = b"".join(Path(__file__).with_name(f"{name}.py").read_bytes() for name in RECORDER)
    return {**current_versions(server), "recorder": hashlib.sha256(code).hexdigest()[:12]}


def record_all(server: Server, wanted: Iterable[Path] | None = None) -> list[str]:
    """Record the snippets that are not recorded yet as they stand, with these versions.

    Args:
        server: Where to run them.
        wanted: Snippet files; all of them if not given.

    Returns:
        Why some cannot be published, one sentence each.
    """
    versions = versions_of_recording(server)
    every = list_snippets() if wanted is None else wanted
    asked = [each for each in every if snippet_name(each) not in UNFOLLOWED]
    todo = [each for each in asked if not _is_recorded(each, versions)]
    with (
        ThreadPoolExecutor((os.cpu_count() or 1) + 2) as pool,  # most of them wait
        click.progressbar(length=len(todo), label="Recording runs", show_pos=True) as bar,
    ):
        running = {pool.submit(record, snippet, server): snippet for snippet in todo}
        try:
            for done in as_completed(running):
                done.result().save(recording_path(running[done]))
                bar.update(1)
        except BaseException:  # such as Ctrl-C: wait for no snippet
            pool.shutdown(wait=False, cancel_futures=True)
            stop_running()
            raise
    found = [Recording.load(recording_path(snippet)) for snippet in asked]
    return [recording.problem for recording in found if recording and recording.problem]


def _is_recorded(snippet: Path, versions: dict[str, str]) -> bool:
    found = Recording.load(recording_path(snippet))
    return bool(found and (found.sha256, found.versions) == (digest(snippet), versions))


def record_changed() -> list[str]:
    """Record what changed since it was recorded; the problems, one sentence each."""
    changed = [
        each
        for each in list_snippets()
        if snippet_name(each) not in UNFOLLOWED
        and not ((found := Recording.load(recording_path(each))) and found.sha256 == digest(each))
    ]
    if not changed:
        return []
    with find_postgres() as server:
        return record_all(server, changed)
