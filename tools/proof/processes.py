"""Processes in which snippets run: how long they may take, what they yield, how they are ended."""

import contextlib
import os
import signal
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from tools.proof.recording import Recording
from tools.proof.snippets import location

DEADLINE = 120.0
"""Seconds a snippet may take before it is stopped and counts as failed."""

_running = set[int | None]()
"""The processes in which snippets run now."""


@dataclass(frozen=True)
class Rerun:
    """What one run of a snippet says its file should contain, or why it could not say."""

    text: str = ""
    problem: str = ""
    complaint: str = ""
    """The first line that it wrote to stderr before its end; empty if it wrote none."""
    recording: Recording | None = None
    """If it was asked for."""


def describe_timeout(snippet: Path, deadline: float, waits: list[str]) -> str:
    """One sentence on a snippet that did not end in time.

    Args:
        snippet: The file.
        deadline: Seconds that it had.
        waits: What it waited for then: `in task main at pool/size/default.py:14`.
    """
    waited = " and ".join(dict.fromkeys(waits))
    return (
        f"{location(snippet)}: did not end within {deadline:.0f} s; it waited {waited}; "
        "end that wait, or shorten it"
    )


@contextlib.contextmanager
def stoppable(process: int | None) -> Iterator[None]:
    """Let `stop_running` end a process that leads a group; it ends with the block in any case."""
    _running.add(process)
    try:
        yield
    finally:
        kill_group(process)
        _running.discard(process)


def stop_running() -> None:
    """End the runs of other threads, which then say that their process died."""
    for process in list(_running):
        kill_group(process)


def kill_group(process: int | None) -> None:
    """Kill a process that leads a group, with its threads and children."""
    if process:
        with contextlib.suppress(ProcessLookupError):
            os.killpg(process, signal.SIGKILL)
