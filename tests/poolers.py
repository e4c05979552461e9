"""The releases of PgBouncer that tests run against: visibly none, or at least one where CI runs."""

import os

import pytest

from tools.postgres.pgbouncer import TRACKS, Program, find_programs

MUST_HAVE = bool(os.environ.get("CI") or os.environ.get("NEEDS_PGBOUNCER"))
"""Whether a test without PgBouncer fails; `.ci/run` sets the second variable."""
WITHOUT = "no PgBouncer {} on this machine: run `.ci/pgbouncer`, or install it"

PROGRAMS = find_programs()
KEEPS_TRACK = [program for program in PROGRAMS if program.release >= TRACKS]
"""Those that know `max_prepared_statements`."""


def need_pgbouncer() -> Program:
    """The newest release that keeps track of prepared statements; without one, skip or fail."""
    if not KEEPS_TRACK:
        if MUST_HAVE:
            pytest.fail(WITHOUT.format("1.21 or later"))
        pytest.skip(WITHOUT.format("1.21 or later"))
    return KEEPS_TRACK[-1]


def need_old_pgbouncer() -> Program:
    """The oldest release, if it keeps no track of prepared statements; without one, skip.

    GitHub's machines have none; `.ci/pgbouncer` fails where it should have fetched one.
    """
    if not PROGRAMS or PROGRAMS[0] in KEEPS_TRACK:
        pytest.skip(WITHOUT.format("before 1.21"))
    return PROGRAMS[0]
