"""What a program still waits for: its tasks with their lines, its threads, its children."""

import asyncio
import os
import sys
import threading
import traceback
from collections.abc import Iterator
from pathlib import Path
from types import FrameType
from typing import Any


def list_waits(frame: FrameType | None, folders: tuple[Path, ...]) -> Iterator[str]:
    """Phrases such as `in task main at snippets/pool/size/default.py:14`.

    Args:
        frame: Where the main thread was interrupted.
        folders: Lines of files below one of them are the program's own; the innermost is named.
    """
    loop = asyncio._get_running_loop()
    if loop:
        for task in sorted(asyncio.all_tasks(loop), key=asyncio.Task.get_name):
            coroutine: Any = task.get_coro()
            yield f"in task {coroutine.__qualname__} at {_place(read_stack(task), folders)}"
    elif frame:
        yield f"at {_place(list(traceback.extract_stack(frame)), folders)}"
    frames = sys._current_frames()
    for thread in threading.enumerate():
        if thread is not threading.main_thread() and thread.ident in frames:
            stack = list(traceback.extract_stack(frames[thread.ident]))
            yield f"for thread {thread.name} at {_place(stack, folders)}"
    for child in _children():
        yield f"for child process {child}"


def read_stack(task: "asyncio.Task[Any]") -> list[traceback.FrameSummary]:
    """Where a task stands, the innermost coroutine last; `Task.get_stack` has the outermost."""
    found: list[traceback.FrameSummary] = []
    waiting: Any = task.get_coro()
    while waiting is not None:
        for kind in ("cr", "ag", "gi"):
            frame: FrameType | None = getattr(waiting, f"{kind}_frame", None)
            if frame:
                found += traceback.StackSummary.extract([(frame, frame.f_lineno)])
                break
        waiting = getattr(waiting, "cr_await", None) or getattr(waiting, "ag_await", None)
    return found


def _place(frames: list[traceback.FrameSummary], folders: tuple[Path, ...]) -> str:
    for frame in reversed(frames):
        for folder in folders:
            path = Path(frame.filename)
            if path.is_relative_to(folder) and ".venv" not in frame.filename:
                return f"{path.relative_to(folder)}:{frame.lineno}"
    return f"{frames[-1].filename}:{frames[-1].lineno}" if frames else "an unknown line"


def _children() -> list[str]:
    """The command lines of our child processes; empty where the system does not tell."""
    try:
        pids = Path(f"/proc/self/task/{os.getpid()}/children").read_text("ascii").split()
        commands = [Path(f"/proc/{pid}/cmdline").read_bytes() for pid in pids]
    except OSError:
        return []
    words = [command.replace(b"\0", b" ").decode("utf-8", "replace") for command in commands]
    return [" ".join(command.split())[:60] for command in words]
