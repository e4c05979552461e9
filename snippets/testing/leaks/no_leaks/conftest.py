"""A test that leaves a connection out fails, and says which line borrowed it.

测试结束时有连接没归还，就判失败，并指出是哪一行借走的。
"""

import asyncio
import sys
from collections.abc import AsyncIterator
from pathlib import Path
from traceback import walk_stack

import greenlet  # type: ignore[import-untyped]
import pytest
import pytest_asyncio
from sqlalchemy import Pool, event

HOME, NOT_OURS = Path.cwd(), {"site-packages", "conftest.py"}
lent: dict[object, str] = {}
lost: list[str] = []


@event.listens_for(Pool, "checkout")
def borrow(_: object, entry: object, proxy: object) -> None:
    above = greenlet.getcurrent().parent  # None outside a greenlet
    stack = [*walk_stack(sys._getframe())]
    stack += walk_stack(above.gr_frame) if above else []
    lines = [(Path(f.f_code.co_filename), line) for f, line in stack]
    ours = (
        f"{file.relative_to(HOME)}:{line}"
        for file, line in lines
        if file.is_relative_to(HOME) and not NOT_OURS & {*file.parts}
    )
    lent[entry] = next(ours, "outside of this project")


@event.listens_for(Pool, "checkin")
def give_back(_: object, entry: object) -> None:
    lent.pop(entry, None)  # None if it was lent before the test


@event.listens_for(Pool, "detach")
def lose(_: object, entry: object) -> None:  # by the garbage collector
    if line := lent.pop(entry, ""):
        lost.append(line)


@pytest_asyncio.fixture(autouse=True)
async def no_leaks() -> AsyncIterator[None]:
    lent.clear()
    lost.clear()
    yield
    tries = 100
    while lent.keys() and tries:  # a task may be about to end
        tries -= 1
        await asyncio.sleep(0.01)
    if left := ", ".join([*lent.values(), *lost]):
        pytest.fail(f"not returned, borrowed at {left}", pytrace=False)
