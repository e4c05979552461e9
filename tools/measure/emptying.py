"""Measure what it costs to have empty tables again: `python -m tools emptying`.

Writes the record beside the script for readers, `costs.txt`. Wants a machine that does nothing
else; takes some seconds.
"""

import os
import subprocess
import sys

from tools.paths import SNIPPETS
from tools.postgres import EmbeddedPostgres
from tools.proof.seals import write_printed

SCRIPT = SNIPPETS / "testing/rollback/costs.py"


def measure_emptying() -> None:
    """Run the script on a server of its own, and write what it printed.

    Raises:
        PostgresError: There are no binaries of PostgreSQL here.
        CalledProcessError: The script failed.
    """
    with EmbeddedPostgres(fsync="on") as server:
        ran = subprocess.run(
            [sys.executable, str(SCRIPT)],
            env={"PATH": os.environ["PATH"], "DATABASE_URL": server.url()},
            stdout=subprocess.PIPE, check=True, encoding="utf-8",
        )  # fmt: skip
    write_printed(SCRIPT, ran.stdout)
