"""The application that readers download, unpacked and run as they run it."""

import ctypes
import io
import json
import os
import re
import signal
import subprocess
import sys
import zipfile
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

import httpx

from tests.asking import ask_sync
from tests.waiting import DEADLINE, wait_until
from tools.paths import SNIPPETS
from tools.postgres import dsn_of, free_port
from tools.site.archives import build_archive

PROJECT = SNIPPETS / "production" / "application" / "teahouse"
BIN = Path(sys.executable).parent
LIMITS = {
    "database.py": ("REQUEST = 8", "timeout=3", 'timeout": 2', 'timeout": 6', 'timeout": "5s'),
    "probes.py": ("timeout(2)",),
}
"""What the application does not wait for any longer, by file."""
ORDER = {"tea": "oolong"}


def read(name: str) -> str:
    """A file of the project."""
    return (PROJECT / name).read_text("utf-8")


def container_command() -> list[str]:
    """What the container runs."""
    [command] = re.findall(r"^CMD (\[.+\])$", read("Containerfile"), re.MULTILINE)
    return [str(word) for word in json.loads(command)]


def unpack(folder: Path) -> Path:
    """Unpack the archive; the folder that was in it."""
    with zipfile.ZipFile(io.BytesIO(build_archive(PROJECT))) as archive:
        archive.extractall(folder)
    return folder / PROJECT.name


def unpack_patient(folder: Path) -> Path:
    """Unpack it, and make its limits ten times as long, for a machine that is busy."""
    place = unpack(folder)
    for name, limits in LIMITS.items():
        file = place / "teahouse" / name
        text = file.read_text("utf-8")
        for limit in limits:
            assert limit in text
            text = text.replace(limit, re.sub(r"(\d+)", r"\g<1>0", limit))
        file.write_text(text, "utf-8")
    return place


def _ends_with_us() -> None:
    """Of a child on Linux: be killed when the test process is."""
    if sys.platform == "linux":
        ctypes.CDLL(None).prctl(1, signal.SIGKILL)


def start(place: Path, words: list[str], url: str, **environment: str) -> "subprocess.Popen[str]":
    """Start a command of the project, with the packages of our environment."""
    return subprocess.Popen(
        [str(BIN / words[0]), *words[1:]],
        cwd=place,
        env={**os.environ, "DATABASE_URL": dsn_of(url), **environment},
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        encoding="utf-8",
        preexec_fn=_ends_with_us,
    )


def finish(command: "subprocess.Popen[str]") -> str:
    """Wait for a command to succeed; what it said."""
    try:
        said, _ = command.communicate(timeout=DEADLINE)
    finally:
        command.kill()
    assert command.returncode == 0, said
    return said


def run(place: Path, words: list[str], url: str, **environment: str) -> str:
    """Run a command of the project to its end; what it said."""
    return finish(start(place, words, url, **environment))


@dataclass
class Running:
    """The application, behind its server."""

    process: "subprocess.Popen[str]"
    client: httpx.Client
    said: str = ""
    """Its log, once it has ended."""

    def status(self, path: str) -> int:
        """The status of a GET; 0 if nobody listens."""
        try:
            return self.client.get(path).status_code
        except httpx.TransportError:
            return 0

    def order(self) -> httpx.Response:
        """Place an order."""
        return self.client.post("/orders", json=ORDER)

    def metric(self, name: str, *labels: str) -> float:
        """A value at `/metrics`, of the series that has all of these labels."""
        lines = self.client.get("/metrics").text.splitlines()
        [found] = (
            line
            for line in lines
            if line.startswith(f"db_client_connection_{name}{{")
            and all(label in line for label in labels)
        )
        return float(found.rsplit(" ", 1)[1])

    def stop(self) -> None:
        """Ask it to end, as a deployment does, and wait."""
        self.process.terminate()
        self.said, _ = self.process.communicate(timeout=DEADLINE)


@contextmanager
def running(place: Path, url: str, until: str = "/ready", **environment: str) -> Iterator[Running]:
    """The application as the container starts it, once a probe is well; ended afterwards."""
    port = free_port()
    process = start(place, container_command(), url, UVICORN_PORT=str(port), **environment)
    limits = httpx.Limits(max_connections=None)
    address = f"http://127.0.0.1:{port}"
    with httpx.Client(base_url=address, trust_env=False, timeout=DEADLINE, limits=limits) as client:
        application = Running(process, client)
        try:
            wait_until(f"{until} is well", lambda: application.status(until) == 200)
            yield application
            if process.poll() is None:
                application.stop()
        finally:
            process.kill()
            process.wait()


def backends(url: str, name: str = "teahouse") -> int:
    """How many connections the application has."""
    named = f"SELECT count(*) FROM pg_stat_activity WHERE application_name = '{name}'"
    return int(ask_sync(url, named))
