"""A test whose time is over names its own lines, not those of the event loop."""

import asyncio
import sys

from tools.paths import ROOT
from tools.proof.waits import list_waits, read_stack


async def wait_for_ever() -> None:
    await asyncio.Event().wait()


async def test_each_task_is_named_with_the_line_it_waits_at() -> None:
    task = asyncio.create_task(wait_for_ever())
    await asyncio.sleep(0)
    line = wait_for_ever.__code__.co_firstlineno + 1
    said = f"in task wait_for_ever at {__file__.partition('/tests/')[2]}:{line}"
    assert said.replace(" at ", " at tests/") in list(list_waits(None, (ROOT,)))
    assert read_stack(task)[-1].name == "wait"
    task.cancel()


def test_without_an_event_loop_the_running_line_is_named() -> None:
    line = sys._getframe().f_lineno + 1
    found = next(list_waits(sys._getframe(), (ROOT,)))
    assert found == f"at tests/tools/proof/test_waits.py:{line}"
