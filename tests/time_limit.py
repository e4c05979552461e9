"""No test can hang: each has a limit, and a test that passes it names what it still waited for.

pytest-timeout keeps the time; `timeout` in pyproject.toml is the limit in seconds, and
`@pytest.mark.timeout(600)` another one.
"""

import asyncio
import signal
import traceback
from collections.abc import Iterator
from pathlib import Path
from types import FrameType
from typing import Any

import pytest
from pytest_timeout import Settings  # type: ignore[import-untyped]

from tools.rooms import ROOT

HAS_TIMER = hasattr(signal, "SIGALRM")  # Windows: pytest-timeout's own way


@pytest.hookimpl(tryfirst=True)
def pytest_timeout_set_timer(item: pytest.Item, settings: Settings) -> bool | None:
    """Fail the test with a sentence when its time is over."""
    if not HAS_TIMER or not settings.timeout:
        return None

    def give_up(number: int, frame: FrameType | None) -> None:
        path, line, _ = item.location
        pytest.fail(
            f"{path}:{(line or 0) + 1}: {item.name} did not end within {settings.timeout:g} s; it "
            f"waited {' and '.join(dict.fromkeys(waits(frame)))}; end that wait, or shorten it",
            pytrace=False,
        )

    signal.signal(signal.SIGALRM, give_up)
    signal.setitimer(signal.ITIMER_REAL, settings.timeout)
    return True


@pytest.hookimpl(tryfirst=True)
def pytest_timeout_cancel_timer(item: pytest.Item) -> bool | None:
    """The test ended in time."""
    if not HAS_TIMER:
        return None
    signal.setitimer(signal.ITIMER_REAL, 0)
    return True


def waits(frame: FrameType | None) -> Iterator[str]:
    """What a program waits for: the lines of its tasks, or else the line it runs."""
    loop = asyncio._get_running_loop()
    if not loop:
        yield f"at {_location(traceback.extract_stack(frame))}"
        return
    for task in sorted(asyncio.all_tasks(loop), key=asyncio.Task.get_name):
        yield f"in task {task.get_coro().__qualname__} at {_location(stack(task))}"  # type: ignore[union-attr]


def stack(task: "asyncio.Task[Any]") -> list[traceback.FrameSummary]:
    """Where a task stands, the innermost coroutine last. `Task.get_stack` knows the outermost."""
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


def _location(frames: list[traceback.FrameSummary]) -> str:
    """Our own innermost line, `tests/pool/test_timeout.py:62`; where there is none, the last."""
    ours = [
        f"{Path(frame.filename).relative_to(ROOT)}:{frame.lineno}"
        for frame in frames
        if Path(frame.filename).is_relative_to(ROOT)
        and ".venv" not in frame.filename
        and frame.filename != __file__
    ]
    return (ours or [f"{frames[-1].filename}:{frames[-1].lineno}" if frames else "nowhere"])[-1]
