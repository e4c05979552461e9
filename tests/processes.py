"""The processes of a group: whether a program that started others left one behind."""

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
