"""The releases of PgBouncer that tests run against: visibly none, or at least one where CI runs."""

import os

import pytest

from tools.postgres import PostgresError
from tools.postgres.pgbouncer import TRACKS, Release, find_releases, newest_release

MUST_HAVE = bool(os.environ.get("CI") or os.environ.get("NEEDS_PGBOUNCER"))
"""Whether a test without PgBouncer fails; `.ci/run` sets the second variable."""

RELEASES = find_releases()


def need_pgbouncer() -> Release:
    """The newest release that keeps track of prepared statements; without one, skip or fail."""
    try:
        return newest_release()
    except PostgresError as lack:
        if MUST_HAVE:
            pytest.fail(str(lack))
        pytest.skip(str(lack))


def need_old_pgbouncer() -> Release:
    """The oldest release, if it keeps no track of prepared statements; without one, skip.

    GitHub's machines have none; `.ci/pgbouncer` fails where it should have fetched one.
    """
    if not RELEASES or RELEASES[0].number >= TRACKS:
        pytest.skip("There is no PgBouncer before 1.21 on this machine: run `.ci/pgbouncer`.")
    return RELEASES[0]
