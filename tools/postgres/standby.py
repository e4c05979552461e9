"""A streaming standby of an embedded server, made by pg_basebackup, that can be promoted."""

import shutil
import subprocess
from pathlib import Path

from tools.postgres.binaries import PostgresError, account, environment
from tools.postgres.database import dsn_of
from tools.postgres.embedded import EmbeddedPostgres

COPY_DEADLINE = 120.0
"""Seconds that copying the primary, or a promotion, may take."""


class Standby(EmbeddedPostgres):
    """A real hot standby: it replays what its primary writes, and answers queries that only read.

    It has the primary's roles and passwords, and goes as its own `EmbeddedPostgres` goes.

        with EmbeddedPostgres() as primary, Standby(primary) as standby:
            primary.kill()
            standby.promote()
    """

    def __init__(self, primary: EmbeddedPostgres, **settings: str) -> None:
        """Choose the standby; `start` copies the primary, which must run then.

        Args:
            primary: The server to follow; of the same major version, from the same binaries.
            settings: As in postgresql.conf.

        Raises:
            PostgresError: There are no binaries for this platform.
        """
        super().__init__(primary.major, **settings)
        self.primary = primary
        self._password = primary._password

    def promote(self) -> None:
        """Make it a primary of its own, and wait until it accepts writes.

        Raises:
            PostgresError: It does not run, or is no standby any more.
        """
        self._run("pg_ctl", "promote", "-w", "-D", self.home / "data")

    def _set_up(self) -> None:
        super()._set_up()
        shutil.rmtree(self.home / "data")
        self._run(
            "pg_basebackup", "--pgdata", self.home / "data", "--write-recovery-conf",
            "--wal-method=stream", "--checkpoint=fast", "--no-sync",
            "--dbname", dsn_of(self.primary.url()),
        )  # fmt: skip

    def _run(self, program: str, *arguments: str | Path) -> None:
        ran = subprocess.run(
            [self._bin / program, *arguments],
            cwd=self.home,
            env=environment(),
            umask=0o077,
            timeout=COPY_DEADLINE,
            capture_output=True,
            **account(),
        )
        if ran.returncode:
            said = (ran.stderr or ran.stdout).decode("utf-8", "replace").strip()
            raise PostgresError(
                f"{program} fails on port {self.port or self.primary.port}: "
                f"{said.splitlines()[-1]}; the primary must run, and the standby follow it."
            )
