"""A test that leaves a connection out fails, and says which line borrowed it.

测试结束时有连接没归还，就判失败，并指出是哪一行借走的。
"""

import asyncio
import sys
from collections.abc import AsyncIterator
from itertools import chain
from pathlib import Path
from traceback import walk_stack

import greenlet  # type: ignore[import-untyped]
import pytest
import pytest_asyncio
from sqlalchemy import Pool, event

HOME, NOT_OURS = Path.cwd(), {"site-packages", "conftest.py"}
lent: dict[object, str] = {}


@event.listens_for(Pool, "checkout")
def borrow(_: object, entry: object, proxy: object) -> None:
    above = getattr(greenlet.getcurrent().parent, "gr_frame", None)
    tops = filter(None, [sys._getframe(), above])
    ours = (
        f"{file.relative_to(HOME)}:{line}"
        for frame, line in chain(*map(walk_stack, tops))
        if (file := Path(frame.f_code.co_filename)).is_relative_to(HOME)
        and not NOT_OURS & {*file.parts}
    )
    lent[entry] = next(ours, "outside of this project")


@event.listens_for(Pool, "checkin")
def give_back(_: object, entry: object) -> None:
    lent.pop(entry, None)  # None if it was lent before the test


@event.listens_for(Pool, "detach")
def lose(_: object, entry: object) -> None:  # to the garbage collector
    if entry in lent:
        lent[object()] = lent.pop(entry)


@pytest_asyncio.fixture(autouse=True)
async def no_leaks() -> AsyncIterator[None]:
    lent.clear()
    yield
    tries = 100
    while lent.keys() and tries:  # a task may be about to end
        tries -= 1
        await asyncio.sleep(0.01)
    if left := ", ".join(lent.values()):
        pytest.fail(f"not returned, borrowed at {left}", pytrace=False)
