"""Record the runs of snippets, so that readers can watch them: `tools record`."""

import hashlib
from collections.abc import Callable, Iterable
from pathlib import Path

from tools.postgres import Server, find_postgres, fresh_database
from tools.proof.compare import find_difference
from tools.proof.record import current_versions
from tools.proof.recording import (
    MOST_BYTES,
    MOST_STEPS,
    Recording,
    load_recording,
    recording_path,
)
from tools.proof.rerun import rerun
from tools.proof.side_by_side import run_each
from tools.proof.snippets import (
    digest,
    find_pooler,
    is_project,
    list_snippets,
    location,
    snippet_name,
)

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
    "production/loops/celery_prefork.py": _ELSEWHERE,
    "production/migrations/loggers.py": _NO_CONNECTION,
    "production/serverless/frozen.py": _ELSEWHERE,
    "production/serverless/instances.py": _ELSEWHERE,
    "production/serverless/terminated.py": _ELSEWHERE,
    "production/workers/engine_each.py": _ELSEWHERE,
    "production/workers/graceful.py": _ELSEWHERE,
    "production/workers/killed.py": _ELSEWHERE,
    "production/workers/pid_check.py": _ELSEWHERE,
    "production/workers/preload.py": _ELSEWHERE,
    "production/workers/uwsgi_loop.py": _ELSEWHERE,
    "sessions/dependency/leftovers.py": _NO_CONNECTION,
    "sessions/fastapi/app.py": "an application, which its page runs in others",
    "start/quickstart/mend_url.py": _NO_CONNECTION,
    "start/quickstart/parts.py": _NO_CONNECTION,
    "start/quickstart/wrong_scheme.py": _NO_CONNECTION,
    "testing/frameworks/combinations.py": _ELSEWHERE,
    "testing/loops/combinations.py": _ELSEWHERE,
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
        found.problem = result.problem or find_difference(
            snippet, snippet.read_text("utf-8"), result.text
        )
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
    found = {each: load_recording(each) for each in _keep_followed(every)}
    todo = [each for each, known in found.items() if not known or known.versions != versions]
    runs = run_each(todo, lambda each: record(each, server), "Recording runs", more=2)
    for snippet, recording in runs:
        recording.save(recording_path(snippet))
        found[snippet] = recording
    return [recording.problem for recording in found.values() if recording and recording.problem]


def list_followed() -> list[Path]:
    """The snippets whose runs can be watched."""
    return _keep_followed(list_snippets())


def _keep_followed(snippets: Iterable[Path]) -> list[Path]:
    """Those that one process runs and somebody can follow; tests of a project are neither.

    PgBouncer's clients have process numbers of its own, not those of PostgreSQL.
    """
    return [
        each
        for each in snippets
        if not (is_project(each) or find_pooler(each) or snippet_name(each) in UNFOLLOWED)
    ]


def record_changed() -> list[str]:
    """Record what changed since it was recorded; the problems, one sentence each."""
    changed = [each for each in list_followed() if not load_recording(each)]
    if not changed:
        return []
    with find_postgres() as server:
        return record_all(server, changed)
