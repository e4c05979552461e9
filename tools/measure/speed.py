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

import click

from tools.paths import ROOT
from tools.postgres import free_port

DEADLINE = 600.0
"""Seconds any one step may take."""


def measure_speed() -> None:
    """Clone, install without caches, serve cold and warm, edit.

    Raises:
        click.ClickException: The guide is not served, or not within `DEADLINE` seconds.
        CalledProcessError: It could not be installed, or not built.
    """
    with tempfile.TemporaryDirectory(prefix="speed-") as folder:
        clone = Path(folder, "guide")
        subprocess.run(["git", "clone", "--quiet", ROOT, clone], check=True)
        with measured("install, no caches"):
            subprocess.run(["make", "--silent", ".venv/ready"], cwd=clone, env=cold(), check=True)
        with measured("first start: prove everything, build"), serving(clone) as wait_for:
            wait_for("", "</html>")
        with serving(clone) as wait_for:
            with measured("second start"):
                wait_for("", "</html>")
            for what, file, page in (
                ("saved page to refreshed page", "docs/en/pool/size.md", "en/pool/size/"),
                ("saved snippet to refreshed page", "snippets/pool/size/default.py", "pool/size/"),
            ):
                path, mark = clone / file, f"mark{time.monotonic_ns()}"
                path.write_text(f"{path.read_text('utf-8')}\n# {mark}\n", "utf-8")
                with measured(what):
                    wait_for(page, mark)
        with measured("strict build of both languages, proofs on record"):
            subprocess.run(["make", "--silent", "build"], cwd=clone, check=True)


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
def serving(clone: Path) -> Iterator[Callable[[str, str], None]]:
    """`make serve` in the clone, on a free port.

    Args:
        clone: Where; what it says is kept beside that folder.

    Yields:
        A function that waits until a page, `en/pool/size/`, shows a text. It raises
        `click.ClickException` if the server ends first, or after `DEADLINE` seconds.
    """
    port, log = free_port(), clone.with_name("serve.log")
    with log.open("wb") as said:
        process = subprocess.Popen(
            ["make", "--silent", "serve"],
            cwd=clone,
            env={**os.environ, "PORT": str(port)},
            stdout=said,
            stderr=said,
            start_new_session=True,
        )

    try:
        yield partial(_wait_for, process, log, f"http://127.0.0.1:{port}/")
    finally:
        with contextlib.suppress(ProcessLookupError):
            os.killpg(process.pid, signal.SIGINT)
        process.wait()


def _wait_for(
    process: subprocess.Popen[bytes], log: Path, address: str, page: str, text: str
) -> None:
    end = time.monotonic() + DEADLINE
    while not shows(address + page, text):
        if (code := process.poll()) is not None:
            raise click.ClickException(
                f"`make serve` ended with exit code {code}: {_last_line(log)}; mend that"
            )
        if time.monotonic() > end:
            raise click.ClickException(
                f"`make serve` shows no {text!r} on /{page} after {DEADLINE:.0f} s; it said last: "
                f"{_last_line(log)}; mend that"
            )
        time.sleep(0.05)


def _last_line(log: Path) -> str:
    """What a command said last, without make's own word on that."""
    lines = [line for line in log.read_text("utf-8", "replace").splitlines() if line.strip()]
    return next((line for line in reversed(lines) if not line.startswith("make")), "nothing")


def shows(url: str, text: str) -> bool:
    """Whether the address answers, and with this text in it."""
    try:
        with urlopen(url, timeout=5) as answer:
            return text in answer.read().decode()
    except (URLError, TimeoutError):
        return False
