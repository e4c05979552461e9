"""How long a newcomer and a writer wait, measured on a fresh clone: `make speed`.

Only runs on the same quiet machine can be compared.
"""

import contextlib
import os
import signal
import subprocess
import tempfile
import time
from collections.abc import Callable, Iterator
from functools import partial
from pathlib import Path
from urllib.error import URLError
from urllib.request import urlopen

from tools.paths import ROOT
from tools.postgres import free_port

DEADLINE = 600.0
"""Seconds any one step may take."""


def measure_speed() -> None:
    """Clone, install without caches, serve cold and warm, edit."""
    with tempfile.TemporaryDirectory(prefix="speed-") as folder:
        clone = Path(folder, "guide")
        subprocess.run(["git", "clone", "--quiet", ROOT, clone], check=True)
        with measured("install, no caches"):
            subprocess.run(["make", "--silent", ".venv/ready"], cwd=clone, env=cold(), check=True)
        with measured("first start: prove everything, build"), serving(clone) as url:
            eventually(partial(shows, url, "</html>"))
        with serving(clone) as url:
            with measured("second start"):
                eventually(partial(shows, url, "</html>"))
            for what, file, page in (
                ("saved page to refreshed page", "docs/en/pool/size.md", "en/pool/size/"),
                ("saved snippet to refreshed page", "snippets/pool/size/default.py", "pool/size/"),
            ):
                path, mark = clone / file, f"mark{time.monotonic_ns()}"
                path.write_text(f"{path.read_text('utf-8')}\n# {mark}\n", "utf-8")
                with measured(what):
                    eventually(partial(shows, url + page, mark))
        with measured("strict build of both languages, proofs on record"):
            subprocess.run(["make", "--silent", "build"], cwd=clone, check=False)


def cold() -> dict[str, str]:
    """An environment in which pip and uv have nothing in store."""
    return {**os.environ, "PIP_NO_CACHE_DIR": "1", "UV_NO_CACHE": "1"}


@contextlib.contextmanager
def measured(what: str) -> Iterator[None]:
    """Print how long the block took, in seconds."""
    begin = time.monotonic()
    yield
    print(f"{time.monotonic() - begin:7.1f} s  {what}", flush=True)


@contextlib.contextmanager
def serving(clone: Path) -> Iterator[str]:
    """`make serve` in the clone, on a free port; yields the address."""
    port = free_port()
    process = subprocess.Popen(
        ["make", "--silent", "serve"],
        cwd=clone,
        env={**os.environ, "PORT": str(port)},
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
        start_new_session=True,
    )
    try:
        yield f"http://127.0.0.1:{port}/"
    finally:
        os.killpg(process.pid, signal.SIGINT)
        process.wait()


def eventually(holds: Callable[[], bool]) -> None:
    """Poll until the callable is true.

    Raises:
        TimeoutError: It was not within `DEADLINE` seconds.
    """
    end = time.monotonic() + DEADLINE
    while not holds():
        if time.monotonic() > end:
            raise TimeoutError
        time.sleep(0.05)


def shows(url: str, text: str) -> bool:
    """Whether the address answers, and with this text in it."""
    try:
        with urlopen(url, timeout=5) as answer:
            return text in answer.read().decode()
    except (URLError, TimeoutError):
        return False
