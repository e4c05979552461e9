"""A real PgBouncer in front of a server, started here and gone with the process that started it."""

import os
import re
import shutil
import subprocess
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from functools import cache
from pathlib import Path

from sqlalchemy import URL, make_url

from tools.paths import CACHE
from tools.postgres.binaries import PostgresError, environment
from tools.postgres.room import free_port

START_DEADLINE = 20.0
"""Seconds it may take until it accepts connections."""
TRACKS = (1, 21)
"""The first release that keeps track of prepared statements in transaction mode."""

# Kills it and removes its files at the end of standard input, which comes with the end of the
# process that owns it, however that ends.
_KEPT = 'exec 3<&0; (cat; kill -9 $$; rm -rf "$0") <&3 >/dev/null 2>&1 & exec "$@" 3<&-'


@dataclass(frozen=True, order=True)
class Release:
    """One release of PgBouncer on this machine."""

    number: tuple[int, ...]
    """`(1, 24, 1)`."""
    path: Path

    @property
    def version(self) -> str:
        """`1.24.1`."""
        return ".".join(map(str, self.number))


@cache
def find_releases() -> tuple[Release, ...]:
    """The releases on this machine, oldest first: what `.ci/pgbouncer` fetched, and PATH's."""
    fetched = sorted((CACHE / "pgbouncer").glob("*/pgbouncer"))
    path = os.pathsep.join([os.environ.get("PATH", os.defpath), "/usr/sbin", "/usr/local/sbin"])
    installed = shutil.which("pgbouncer", path=path)
    found = dict[tuple[int, ...], Release]()
    for program in [*fetched, *([Path(installed)] if installed else [])]:
        said = subprocess.run([program, "--version"], capture_output=True, encoding="utf-8")
        if version := re.match(r"PgBouncer (\d[\d.]*)", said.stdout):
            number = tuple(map(int, version[1].split(".")))
            found.setdefault(number, Release(number, program))
    return tuple(sorted(found.values()))


def newest_release() -> Release:
    """The newest release on this machine.

    Raises:
        PostgresError: There is none that keeps track of prepared statements.
    """
    if (found := find_releases()) and found[-1].number >= TRACKS:
        return found[-1]
    raise PostgresError(
        "There is no PgBouncer 1.21 or later on this machine: on Debian or Ubuntu run "
        "`.ci/pgbouncer`, elsewhere install pgbouncer."
    )


@contextmanager
def run_pgbouncer(
    server_url: str, release: Release | None = None, **settings: str
) -> Iterator[str]:
    """A PgBouncer on a random port of 127.0.0.1, in transaction mode if nothing else is said.

    The role of the URL may also log in to the console, which is the database `pgbouncer`.

    Args:
        server_url: The database that is reached, by the role of this URL. Clients may name it as
            they like: each name has connections of its own.
        release: Which one; the newest if not given.
        settings: As in its ini: `default_pool_size="1"`. A release that does not know
            `max_prepared_statements` takes 0.

    Yields:
        The URL of that database through PgBouncer.

    Raises:
        PostgresError: There is none on this machine, or it does not start.
    """
    release, server = release or newest_release(), make_url(server_url)
    _drop_unknown(release, settings)
    deadline = time.monotonic() + START_DEADLINE
    while True:
        port = free_port()
        folder = _write_files(server, port, settings)
        process = _start(release, folder)
        try:
            while process.poll() is None and time.monotonic() < deadline:
                if "process up" in _read_log(folder):
                    url = server.set(host="127.0.0.1", port=port)
                    yield url.render_as_string(hide_password=False)
                    return
                time.sleep(0.01)
            said = _read_log(folder)
        finally:
            _end(process, folder)
        if "in use" not in said or time.monotonic() > deadline:
            why = (said.strip() or "it does not say why").splitlines()[-1] + "; mend its settings."
            raise PostgresError(f"PgBouncer {release.version} does not start: {why}")


def _drop_unknown(release: Release, settings: dict[str, str]) -> None:
    if release.number < TRACKS and settings.pop("max_prepared_statements", "0") != "0":
        raise PostgresError(
            f"PgBouncer {release.version} has no max_prepared_statements: leave it at 0, or take "
            "1.21 or later."
        )


def _write_files(server: URL, port: int, settings: dict[str, str]) -> Path:
    """What it reads, in a new folder."""
    folder = Path(tempfile.mkdtemp(prefix="pgbouncer-"))
    login = [str(word or "").replace('"', '""') for word in (server.username, server.password)]
    (folder / "users").write_text('"{}" "{}"\n'.format(*login), "utf-8")
    every = {
        "listen_addr": "127.0.0.1",
        "listen_port": port,
        "unix_socket_dir": "",
        "auth_type": "scram-sha-256",
        "auth_file": folder / "users",
        "admin_users": server.username,
        "pool_mode": "transaction",
        "server_login_retry": 1,  # not 15 s, where a busy server refused once
        **({"user": "nobody"} if os.geteuid() == 0 else {}),  # it refuses root
        **settings,
    }
    place = f"* = host={server.host} port={server.port or 5432} dbname={server.database}"
    lines = ["[databases]", place, "[pgbouncer]"]
    lines += [f"{name} = {value}" for name, value in every.items()]
    (folder / "pgbouncer.ini").write_text("\n".join(lines) + "\n", "utf-8")
    return folder


def _start(release: Release, folder: Path) -> subprocess.Popen[bytes]:
    with (folder / "log").open("wb") as log:
        return subprocess.Popen(
            ["sh", "-c", _KEPT, folder, release.path, folder / "pgbouncer.ini"],
            stdin=subprocess.PIPE,
            stdout=log,
            stderr=log,
            cwd="/",
            start_new_session=True,
            env=environment(),
        )


def _read_log(folder: Path) -> str:
    return (folder / "log").read_text("utf-8", "replace")


def _end(process: subprocess.Popen[bytes], folder: Path) -> None:
    with process:
        process.kill()  # SIGTERM waits for its clients, since 1.23
    shutil.rmtree(folder, ignore_errors=True)  # before or after its keeper does
