"""Run one snippet as a reader does, in a database of its own.

python -m tools.run SNIPPET
"""

import difflib
import os
import signal
import subprocess
import sys
from collections.abc import Sequence
from pathlib import Path

from tools.postgres import PostgresError, find_postgres, fresh_database
from tools.rooms import ROOT


def run(snippet: Path) -> int:
    """Run a snippet against the PostgreSQL of this machine; its output passes through.

    Args:
        snippet: A Python program that needs nothing but `DATABASE_URL`.

    Returns:
        The snippet's exit code, 128 + n if signal n ended it.

    Raises:
        PostgresError: There is no PostgreSQL to run it against.
    """
    with find_postgres() as server, fresh_database(server.url) as url:
        print(f"PostgreSQL {server.version}, {server.origin}", file=sys.stderr)
        # In a group of its own it does not hear Ctrl-C: we do, and end it without a traceback.
        with subprocess.Popen(
            [sys.executable, snippet],
            env={**os.environ, "DATABASE_URL": url},
            stdin=subprocess.DEVNULL,
            process_group=0,
        ) as program:
            try:
                code = program.wait()
            finally:
                program.terminate()
    return code if code >= 0 else 128 - code


def main(arguments: Sequence[str]) -> int:
    """Command line: exit with the snippet's code, or with 2 and one line that says why not."""
    if len(arguments) != 1:
        print("Name one snippet: make run SNIPPET=snippets/...", file=sys.stderr)
        return 2
    snippet = Path(arguments[0])
    if not snippet.is_file():
        print(f"{snippet}: no such file{_nearest(arguments[0])}", file=sys.stderr)
        return 2
    for name in ("SIGTERM", "SIGHUP"):
        number = getattr(signal, name, None)  # Windows does not know all
        if number and signal.getsignal(number) is signal.SIG_DFL:
            signal.signal(number, lambda number, frame: sys.exit(128 + number))
    try:
        return run(snippet)
    except PostgresError as error:
        print(error, file=sys.stderr)
        return 2
    except KeyboardInterrupt:
        return 128 + signal.SIGINT


def _nearest(name: str) -> str:
    known = [path.relative_to(ROOT).as_posix() for path in (ROOT / "snippets").rglob("*.py")]
    near = difflib.get_close_matches(name, known, n=1, cutoff=0.0)
    return f"; did you mean {near[0]}?" if near else ""


if __name__ == "__main__":
    raise SystemExit(main(sys.argv[1:]))
