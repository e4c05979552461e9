"""A Chromium for the browser tests: one on this machine, or Playwright's own."""

import fcntl
import shutil
import subprocess
import sys
from collections.abc import Iterator

from playwright.sync_api import sync_playwright

from tools.paths import ROOT

LOCK = ROOT / ".cache" / "browser.lock"
NAMES = ("chromium", "chromium-browser", "google-chrome", "google-chrome-stable")


class NoBrowser(Exception):
    """No Chromium is here and none can be had; says in one sentence what to do."""


def chromium() -> str:
    """The path of a Chromium that starts.

    The first of: one on the machine, Playwright's own. `.ci/run` installs Debian's.

    Raises:
        NoBrowser: None of them can be had.
    """
    LOCK.parent.mkdir(exist_ok=True)
    with LOCK.open("wb") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)  # one download, however many test processes ask
        for install in (None, _install_playwrights):
            if install:
                install()
            for path in _candidates():
                if _starts(path):
                    return path
    raise NoBrowser(
        "no Chromium here and none could be fetched: put chromium or google-chrome on the PATH, "
        "or run `python -m playwright install --with-deps chromium`"
    )


def _candidates() -> Iterator[str]:
    yield from filter(None, map(shutil.which, NAMES))
    with sync_playwright() as play:  # which starts no browser
        yield play.chromium.executable_path


def _starts(path: str) -> bool:
    return _run([path, "--version"], seconds=20)


def _install_playwrights() -> None:
    _run([sys.executable, "-m", "playwright", "install", "chromium"], seconds=300)


def _run(command: list[str], seconds: float) -> bool:
    try:
        ran = subprocess.run(command, capture_output=True, timeout=seconds)
    except (OSError, subprocess.TimeoutExpired):
        return False
    return ran.returncode == 0
