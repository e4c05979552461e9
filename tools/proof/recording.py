"""A recorded run: what pools, tasks and backends did, step by step, as the page replays it."""

import gzip
import json
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any, Self

from tools.paths import RECORDINGS
from tools.proof.files import write_whole
from tools.proof.snippets import digest, snippet_name

MOST_STEPS = 60
"""What somebody watches to the end."""
MOST_BYTES = 10 * 1024
"""Gzipped."""


@dataclass
class Step:
    """One step, and all that is to be seen after it."""

    line: int
    """Of the snippet's file; 0 if unknown."""
    event: str
    tasks: list[int]
    """Who did it; several where steps were joined."""
    letters: list[str] = field(default_factory=list)
    """The connections concerned."""
    text: str = ""
    engine: int | None = None
    pools: list[dict[str, list[Any]]] = field(default_factory=list)
    """One for each engine: `lent`, pairs of letter and task; `free`, letters; `waiting`, tasks."""
    backends: list[list[str]] = field(default_factory=list)
    """Letter, state, last statement."""
    counters: list[dict[str, int] | None] = field(default_factory=list)
    """What each pool itself counted at that moment; kept for the tests, not published."""
    gone: list[str] = field(default_factory=list)
    """Letters of connections that the client has closed or detached; for the tests, as well."""
    own: list[str] = field(default_factory=list)
    """Letters of backends that never belonged to a pool; for the tests, as well."""


@dataclass
class Recording:
    """The run of one snippet."""

    sha256: str = ""
    """Of the snippet's file."""
    versions: dict[str, str] = field(default_factory=dict)
    problem: str = ""
    """Why there is nothing to be published, one sentence; else empty."""
    engines: list[dict[str, Any]] = field(default_factory=list)
    tasks: list[str] = field(default_factory=list)
    steps: list[Step] = field(default_factory=list)

    @classmethod
    def load(cls, path: Path) -> Self | None:
        """The recording in a file; nothing where none can be read."""
        try:
            found = json.loads(path.read_text("utf-8"))
            found["steps"] = [Step(**step) for step in found["steps"]]
            return cls(**found)
        except (OSError, ValueError, TypeError, KeyError):
            return None

    def save(self, path: Path) -> None:
        """Write it; whoever reads meanwhile sees the old one or the new one."""
        write_whole(path, json.dumps(asdict(self), ensure_ascii=False))

    def publish(self) -> str:
        """What the browser gets."""
        steps = [
            {
                key: value
                for key, value in vars(step).items()
                if key not in ("counters", "gone", "own") and value is not None and value != ""
            }
            for step in self.steps
        ]
        whole = {"engines": self.engines, "tasks": self.tasks, "steps": steps}
        return json.dumps(whole, ensure_ascii=False, separators=(",", ":"))

    def weight(self) -> int:
        """Bytes of what is published, gzipped."""
        return len(gzip.compress(self.publish().encode("utf-8"), mtime=0))


def recording_path(snippet: Path) -> Path:
    """Where the recording of a snippet is kept."""
    return RECORDINGS / recording_name(snippet)


def recording_name(snippet: Path) -> str:
    """`pool/size/default.json`: below `RECORDINGS`, and below `recordings/` of the site."""
    return snippet_name(snippet.with_suffix(".json"))


def load_recording(snippet: Path) -> Recording | None:
    """What was recorded of a snippet as it stands, or why nothing was; none if it changed since."""
    found = Recording.load(recording_path(snippet))
    return found if found and found.sha256 == digest(snippet) else None


def find_recording(snippet: Path) -> Recording | None:
    """What was recorded of a snippet as it stands, if it may be published."""
    found = load_recording(snippet)
    return found if found and not found.problem else None
