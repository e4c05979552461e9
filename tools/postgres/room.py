"""Where a server of one's own finds room on this machine: a folder for its files, a port."""

import os
import socket
import tempfile

from tools.postgres.binaries import PostgresError

RAM_DISK = "/dev/shm"
ROOM = 2**30
"""Bytes that must be free on a RAM disk before a server is set up there."""


def find_temporary_folder() -> str:
    """Where TMPDIR says, else a RAM disk, for a database is many files.

    Raises:
        PostgresError: There is no folder that can be written.
    """
    try:
        if "TMPDIR" not in os.environ and _has_room(RAM_DISK):
            return RAM_DISK
        return tempfile.gettempdir()
    except FileNotFoundError as error:
        raise PostgresError(
            f"PostgreSQL has nowhere to be set up: {error.strerror}; let TMPDIR name a folder "
            "with room, or set DATABASE_URL."
        ) from error


def _has_room(ram_disk: str) -> bool:
    """Whether a server fits in; not in a container, say, whose 64 MB may run no programs."""
    try:
        disk = os.statvfs(ram_disk)
    except FileNotFoundError:
        return False  # macOS has none
    return disk.f_bavail * disk.f_frsize >= ROOM and not disk.f_flag & os.ST_NOEXEC


def free_port() -> int:
    """A TCP port of 127.0.0.1 that nobody uses now."""
    with socket.create_server(("127.0.0.1", 0)) as probe:
        return int(probe.getsockname()[1])
