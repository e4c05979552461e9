"""A PostgreSQL server of one's own, started here and gone with the process that started it."""

import os
import re
import secrets
import signal
import subprocess
import time
from pathlib import Path
from types import TracebackType
from typing import Literal, Self

from tools.postgres.binaries import (
    PostgresError,
    account,
    environment,
    find_binaries,
    not_as_root,
    within_reach,
)
from tools.postgres.room import find_temporary_folder, free_port

START_DEADLINE = 60.0
"""Seconds a server may take until it accepts connections."""
STOP_DEADLINE = 30.0
"""Seconds a server may take to stop."""

_SETTINGS = {
    "max_connections": "200",
    "max_prepared_transactions": "8",  # tools/proof/occupied.py holds its locks in one
    "timezone": "UTC",
    # Fast instead of safe from a power cut; a crash of the server alone is still recovered from.
    "fsync": "off",
    "full_page_writes": "off",
    "synchronous_commit": "off",
    "shared_buffers": "32MB",
    "max_wal_size": "128MB",
    # Its workers would come and go in pg_stat_activity.
    "autovacuum": "off",
}

_KEEPER = Path(__file__).with_name("keeper.sh")
# Its process number is on record before PostgreSQL is in the process: the keeper misses none.
_SERVER = 'echo $$ >pid && exec "$@" >>log 2>&1'


class EmbeddedPostgres:
    """A real PostgreSQL server, gone without a trace when the process that owns it is gone.

    It listens on 127.0.0.1 at a random port and asks for a random password (scram). Started by
    root, it runs as `nobody`. Linux and macOS.

        with EmbeddedPostgres(max_connections="20") as server:
            engine = create_async_engine(server.url())
    """

    port = 0
    """The TCP port; 0 before the first start, the same from then on."""
    home: Path
    """The temporary directory that holds all its files; known from the first start on."""

    def __init__(self, major: int = 18, **settings: str) -> None:
        """Choose the server; `start` runs it.

        Args:
            major: PostgreSQL's major version, 18 or 16; `PG_BIN`, a directory with `initdb` and
                `postgres`, overrides it.
            settings: As in postgresql.conf, with its units: `idle_session_timeout="500ms"`.

        Raises:
            PostgresError: There are no binaries for this platform or of this major.
        """
        self._binaries = find_binaries(major)
        self.major, self._settings = major, settings
        self._password = secrets.token_hex(16)
        self._account = account()
        self._folder = find_temporary_folder()
        self._keeper: subprocess.Popen[bytes] | None = None
        self._process: subprocess.Popen[bytes] | None = None

    def __enter__(self) -> Self:
        self.start()
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self.close()

    def url(self, database: str = "postgres") -> str:
        """Where SQLAlchemy finds a database of this server, as its superuser."""
        return f"postgresql+asyncpg://postgres:{self._password}@127.0.0.1:{self.port}/{database}"

    def log(self) -> list[str]:
        """The lines of the server's log since its first start."""
        try:
            return (self.home / "log").read_text("utf-8", "replace").splitlines()
        except FileNotFoundError:
            return []

    def start(self) -> None:
        """Start the server and wait until it accepts connections; the first time, set it up.

        A server that runs is left as it is.

        Raises:
            PostgresError: It does not start; the server is closed then.
        """
        try:
            if self._keeper is None:
                self._set_up()
            elif self._process and self._process.poll() is None:
                return
            self._start()
        except BaseException:
            self.close()
            raise

    def stop(self, mode: Literal["smart", "fast", "immediate"] = "fast") -> None:
        """Stop the server; its data stays until `close`.

        Args:
            mode: `fast` cuts the clients off, `smart` waits until they have gone, `immediate`
                crashes on purpose.

        Raises:
            PostgresError: It did not stop within `STOP_DEADLINE` seconds.
        """
        signals = {"smart": signal.SIGTERM, "fast": signal.SIGINT, "immediate": signal.SIGQUIT}
        self._end(signals[mode])

    def restart(self, mode: Literal["smart", "fast", "immediate"] = "fast") -> None:
        """Stop the server and start it again, on the same port and with its data.

        Raises:
            PostgresError: It did not stop, or does not start.
        """
        self.stop(mode)
        self.start()

    def kill(self) -> None:
        """Kill the server as `kill -9` does; it may be started again."""
        self._end(signal.SIGKILL)

    def close(self) -> None:
        """Stop the server at once and remove its files; a second call does nothing."""
        keeper, self._keeper = self._keeper, None
        if keeper is None:
            return
        with keeper:
            assert keeper.stdin is not None
            keeper.stdin.close()
            if self._process:
                self._process.wait()

    def _set_up(self) -> None:
        try:
            keeper = subprocess.Popen(
                ["sh", "-c", _KEEPER.read_text("utf-8"), "sh", self._folder],
                stdin=subprocess.PIPE,
                stdout=subprocess.PIPE,
                stderr=subprocess.PIPE,
                bufsize=0,
                cwd="/",
                start_new_session=True,
                env=environment(),
                **self._account,
            )
        except PermissionError as error:
            raise not_as_root(str(error.strerror)) from error
        self._keeper = keeper
        assert keeper.stdin is not None
        assert keeper.stdout is not None
        assert keeper.stderr is not None
        if home := keeper.stdout.readline().rstrip(b"\n"):
            self.home = Path(os.fsdecode(home))
            self._bin = within_reach(self._binaries, self.home)
            keeper.stdin.write(os.fsencode(f"{self._bin / 'initdb'}\n{self._password}\n"))
            if keeper.stdout.readline() == b"ready\n":
                return
        reason = _reason(keeper.stderr.read().decode("utf-8", "replace"))
        raise PostgresError(
            f"PostgreSQL cannot be set up in {self._folder}: {reason}; make room there, or let "
            "TMPDIR name another folder, or set DATABASE_URL."
        )

    def _start(self) -> None:
        deadline = time.monotonic() + START_DEADLINE
        wanted = self.port
        while True:
            self.port = wanted or free_port()
            said = self._launch(deadline)
            if not said:
                return
            taken_meanwhile = "Address already in use" in said and not wanted
            # The processes of a killed server need a moment to notice.
            on_its_way_out = "pre-existing shared memory block" in said
            if not (taken_meanwhile or on_its_way_out) or time.monotonic() > deadline:
                raise PostgresError(
                    f"PostgreSQL does not start on port {self.port}: {_reason(said)}; "
                    "mend that, or set DATABASE_URL."
                )

    def _launch(self, deadline: float) -> str:
        """Start the server's process; what it said if it ended, nothing if it is ready."""
        settings = {
            **_SETTINGS,
            **self._settings,
            "port": str(self.port),
            "listen_addresses": "127.0.0.1",
            "unix_socket_directories": "",
        }
        before = len(self.log())
        options = [f"--{name}={value}" for name, value in settings.items()]
        self._process = process = subprocess.Popen(
            ["sh", "-c", _SERVER, "sh", self._bin / "postgres", "-D", self.home / "data", *options],
            stdin=subprocess.DEVNULL,
            cwd=self.home,
            umask=0o077,
            start_new_session=True,
            env=environment(),
            **self._account,
        )
        while process.poll() is None:
            if self._is_ready(process.pid):
                return ""
            if time.monotonic() > deadline:
                return f"it is not ready after {START_DEADLINE:.0f} s"
            time.sleep(0.01)
        self._forget()
        return "\n".join(self.log()[before:]) or f"exit code {process.returncode}"

    def _is_ready(self, pid: int) -> bool:
        try:
            status = (self.home / "data" / "postmaster.pid").read_text("utf-8").split()
        except FileNotFoundError:
            return False
        return status[:1] == [str(pid)] and status[-1] == "ready"

    def _end(self, number: signal.Signals) -> None:
        if self._process is None:
            return
        self._process.send_signal(number)
        try:
            self._process.wait(STOP_DEADLINE)
        except subprocess.TimeoutExpired:
            raise PostgresError(
                f"PostgreSQL on port {self.port} has not stopped after {STOP_DEADLINE:.0f} s: "
                "close its clients, or stop it in fast mode."
            ) from None
        self._forget()

    def _forget(self) -> None:
        """Take an ended process off the record: its number may become another's."""
        (self.home / "pid").unlink(missing_ok=True)


def _reason(said: str) -> str:
    """The line that says why, without its prefix, from what a server or `initdb` printed."""
    lines = [line.strip() for line in said.splitlines() if line.strip()] or ["it does not say why"]
    causes = (
        re.search(r"(?:error|FATAL|PANIC|LOG(?=:  could not bind)): +(.+)", line) for line in lines
    )
    return next((cause[1] for cause in causes if cause), lines[0])
