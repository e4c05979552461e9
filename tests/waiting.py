"""Waiting for what must come about: with a limit, and a failure that says what it was."""

import asyncio
import inspect
import time
from collections.abc import Callable

DEADLINE = 120.0
"""Seconds until something that must happen counts as not happening, on a busy machine."""
PAUSE = 0.01
"""Seconds between two looks."""


async def eventually(what: str, holds: Callable[[], object], deadline: float = DEADLINE) -> None:
    """Look until something is so.

    Args:
        what: What is waited for, as a failure says it: `"the backend has ended"`.
        holds: Whether it is so; a function, or a coroutine function.
        deadline: Seconds after which the test fails.

    Raises:
        AssertionError: It did not come about.
    """
    try:
        async with asyncio.timeout(deadline) as limit:
            while True:
                found = holds()
                if inspect.isawaitable(found):
                    found = await found
                if found:
                    return
                await asyncio.sleep(PAUSE)
    except TimeoutError:
        if limit.expired():
            raise AssertionError(_in_vain(what, deadline)) from None
        raise


def wait_until(what: str, holds: Callable[[], object], deadline: float = DEADLINE) -> None:
    """`eventually` where no event loop runs."""
    end = time.monotonic() + deadline
    while not holds():
        if time.monotonic() > end:
            raise AssertionError(_in_vain(what, deadline))
        time.sleep(PAUSE)


def _in_vain(what: str, deadline: float) -> str:
    return f"waited {deadline:g} s in vain until {what}"
