"""Processes that are there: whether a program that started others left one behind."""

import os
import signal
import subprocess
import sys
from pathlib import Path

from tests.waiting import wait_until


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


def hear_everything() -> None:
    """For `preexec_fn`: what a job in the background starts is deaf to Ctrl-C and hang-ups."""
    for number in (signal.SIGINT, signal.SIGHUP):
        signal.signal(number, signal.SIG_DFL)


def stop_program(
    snippet: Path, number: signal.Signals, others: int, database_url: str, folder: Path
) -> None:
    """Stop a program that has started others, and wait until nothing of it is left.

    Args:
        snippet: The program.
        number: The signal that it is sent.
        others: How many processes it has started by then.
        database_url: Its database.
        folder: An empty one, in which it runs under a name that no other program has.
    """
    (folder / "guide_stopped.py").write_bytes(snippet.read_bytes())
    with subprocess.Popen(
        [sys.executable, "guide_stopped.py"], cwd=folder, stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL, process_group=0,
        env={**os.environ, "DATABASE_URL": database_url},
    ) as program:  # fmt: skip
        started = f"{snippet.stem} has started {others} others"
        wait_until(started, lambda: len(list_members(program.pid)) > others)
        program.send_signal(number)
        program.wait(60)
        wait_until("all processes have ended", lambda: not list_members(program.pid))
