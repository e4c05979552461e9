"""No test can hang: each has a limit, and a test that passes it names what it still waited for.

pytest-timeout keeps the time; `timeout` in pyproject.toml is the limit in seconds, and
`@pytest.mark.timeout(600)` another one.
"""

import signal
from types import FrameType

import pytest
from pytest_timeout import Settings  # type: ignore[import-untyped]

from tools.paths import ROOT
from tools.proof.waits import list_waits


@pytest.hookimpl(tryfirst=True)
def pytest_timeout_set_timer(item: pytest.Item, settings: Settings) -> bool | None:
    """Fail the test with a sentence when its time is over."""
    if not settings.timeout:
        return None

    def give_up(number: int, frame: FrameType | None) -> None:
        path, line, _ = item.location
        waits = " and ".join(dict.fromkeys(list_waits(frame, (ROOT,))))
        pytest.fail(
            f"{path}:{(line or 0) + 1}: {item.name} did not end within {settings.timeout:g} s; it "
            f"waited {waits}; end that wait, or shorten it",
            pytrace=False,
        )

    signal.signal(signal.SIGALRM, give_up)
    signal.setitimer(signal.ITIMER_REAL, settings.timeout)
    return True


@pytest.hookimpl(tryfirst=True)
def pytest_timeout_cancel_timer(item: pytest.Item) -> bool:
    """The test ended in time."""
    signal.setitimer(signal.ITIMER_REAL, 0)
    return True
