"""Who does something in a program that runs, and at which line of it: tasks, greenlets, threads.

Events of SQLAlchemy run inside a greenlet, whose stack ends at SQLAlchemy, and closing runs in a
task that SQLAlchemy makes: it belongs to the task that left the block.
"""

import asyncio
import contextlib
import sys
import threading
import weakref
from asyncio.base_events import BaseEventLoop
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from types import FrameType
from typing import Any

import greenlet  # type: ignore[import-untyped]

from tools.proof.waits import read_stack

_ASYNCIO = str(Path(asyncio.__file__).parent)


@dataclass(eq=False)
class Actor:
    """A task, or what else runs; its name is known when all of them are."""

    base: str
    """The name of its coroutine."""


class Whereabouts:
    """Tells the actor and the line of whatever happens now.

    Args:
        folder: Where the copy of the snippet stands that runs.
    """

    def __init__(self, folder: str) -> None:
        self._folder = folder
        self._actors = weakref.WeakKeyDictionary[Any, Actor]()
        self._creators = weakref.WeakKeyDictionary[Any, tuple[Any, int]]()
        """Of a task that the program did not make itself: who made it, and at which line."""
        self.program = Actor("main")
        """What runs outside of tasks."""
        self.actors: list[Actor] = []
        """In the order of their first appearance."""
        self._watch_creation()

    def _watch_creation(self) -> None:
        original, creators = BaseEventLoop.create_task, self._creators

        def create_task(loop: BaseEventLoop, coro: Any, **options: Any) -> Any:
            creator = asyncio.current_task() if asyncio._get_running_loop() else None
            task = original(loop, coro, **options)
            if creator and not self._is_own(coro, sys._getframe(1)):
                creators[task] = (weakref.ref(creator), self.line())
            return task

        BaseEventLoop.create_task = create_task  # type: ignore[method-assign, assignment]

    def _is_own(self, coro: Any, frame: FrameType | None) -> bool:
        code = getattr(coro, "cr_code", None)
        if code and code.co_filename.startswith(self._folder):
            return True
        while frame and frame.f_code.co_filename.startswith(_ASYNCIO):
            frame = frame.f_back
        return bool(frame and frame.f_code.co_filename.startswith(self._folder))

    def actor(self) -> Actor:
        """Who acts now."""
        found = self._find_actor()
        if found not in self.actors:
            self.actors.append(found)
        return found

    def _find_actor(self) -> Actor:
        task = asyncio.current_task() if asyncio._get_running_loop() else None
        if task is None:
            thread = threading.current_thread()
            if thread is threading.main_thread():
                return self.program
            return self._actors.setdefault(thread, Actor("thread"))
        while task in self._creators:
            creator = self._creators[task][0]()
            if creator is None:
                break
            task = creator
        coroutine: Any = task.get_coro()
        return self._actors.setdefault(task, Actor(getattr(coroutine, "__name__", "aclose")))

    def line(self) -> int:
        """The line of the copy that is run now; 0 if none is."""
        for frame in self.frames():
            return frame.f_lineno
        task = asyncio.current_task() if asyncio._get_running_loop() else None
        while task in self._creators:
            creator, line = self._creators[task]
            task = creator()
            if task is None:
                return line
            for summary in reversed(read_stack(task)):
                if summary.filename.startswith(self._folder):
                    return summary.lineno or 0
        return 0

    def raised_at(self, error: BaseException) -> int:
        """The innermost line of the copy through which an exception came; 0 if none."""
        line, trace = 0, error.__traceback__
        while trace:
            if trace.tb_frame.f_code.co_filename.startswith(self._folder):
                line = trace.tb_lineno
            trace = trace.tb_next
        return line

    def frames(self) -> Iterator[FrameType]:
        """The snippet's own frames that led to here, innermost first."""
        frame: FrameType | None = sys._getframe(1)
        current: Any = greenlet.getcurrent()
        while True:
            while frame:
                name = frame.f_code.co_filename
                if name.startswith(self._folder):
                    yield frame
                elif frame.f_code.co_name == "_run" and name.endswith("asyncio/events.py"):
                    return  # what is below is `asyncio.run(main())`
                frame = frame.f_back
            current = current.parent
            if current is None:
                return
            with contextlib.suppress(AttributeError):
                frame = current.gr_frame
