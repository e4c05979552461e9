"""Processes that are there: whether a program that started others left one behind."""

import os
from pathlib import Path


def list_members(group: int) -> list[int]:
    """The processes of a group that have not ended; zombies have.

    Args:
        group: The id of the process that leads it.

    Returns:
        Their ids.
    """
    found = []
    for status in Path("/proc").glob("[0-9]*/stat"):
        try:
            state, _, owner = status.read_text("utf-8").rpartition(")")[2].split()[:3]
        except OSError:  # it has ended meanwhile
            continue
        if int(owner) == group and state != "Z":
            found.append(int(status.parent.name))
    return found


def list_processes(folder: Path) -> list[str]:
    """The processes that work in a folder or are told of it; where there is no /proc, none.

    Args:
        folder: Any.

    Returns:
        The number and the command of each.
    """
    found = []
    for process in Path("/proc").glob("[0-9]*"):
        try:
            command = (process / "cmdline").read_bytes().replace(b"\0", b" ").decode()
            if str(folder) in command or os.readlink(process / "cwd").startswith(str(folder)):
                found.append(f"{process.name} {command}")
        except OSError:
            continue  # ended meanwhile, or another user's
    return found
