"""PgBouncer starts with the settings it is given, and leaves nothing, whatever becomes of us."""

import os
import signal
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from pathlib import Path

import psycopg
import pytest
from sqlalchemy import make_url

from tests.poolers import RELEASES, need_old_pgbouncer, need_pgbouncer
from tests.processes import list_processes
from tests.waiting import wait_until
from tools.paths import ROOT
from tools.postgres import PostgresError, dsn_of, free_port, pgbouncer
from tools.postgres.pgbouncer import Release, find_releases, newest_release, run_pgbouncer

OWNER = """
import sys
from tools.postgres.pgbouncer import run_pgbouncer
with run_pgbouncer(sys.argv[1]):
    print("ready", flush=True)
    sys.stdin.read()
"""


@pytest.fixture
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Path]:
    """Where its files are; nothing may be left there."""
    monkeypatch.setenv("TMPDIR", str(tmp_path))
    monkeypatch.setattr(tempfile, "tempdir", str(tmp_path))
    yield tmp_path
    wait_until(f"nothing is left in {tmp_path}", lambda: not list_processes(tmp_path))
    assert not list(tmp_path.iterdir())


def ask(url: str, query: str, database: str | None = None) -> list[tuple[object, ...]]:
    """What PgBouncer, or a server through it, answers."""
    place = make_url(url)
    if database:
        place = place.set(database=database)
    with psycopg.connect(dsn_of(place), autocommit=True) as asking:
        return asking.execute(query.encode()).fetchall()


@pytest.mark.parametrize("release", RELEASES, ids=lambda release: release.version)
def test_it_runs_with_its_settings_and_leaves_nothing(
    release: Release, database_url: str, folder: Path
) -> None:
    with run_pgbouncer(database_url, release, default_pool_size="3") as url:
        assert make_url(url).port != make_url(database_url).port
        database = make_url(database_url).database
        assert ask(url, "SELECT current_database()") == [(database,)]
        assert ("default_pool_size", "3") in [
            row[:2] for row in ask(url, "SHOW CONFIG", "pgbouncer")
        ]
        assert ask(url, "SHOW VERSION", "pgbouncer") == [(f"PgBouncer {release.version}",)]
        assert list_processes(folder)


def test_it_asks_for_the_password(database_url: str) -> None:
    need_pgbouncer()
    with run_pgbouncer(database_url) as url:
        wrong = make_url(url).set(password="wrong").render_as_string(hide_password=False)
        with pytest.raises(psycopg.OperationalError, match=r"(?i)auth|password"):
            ask(wrong, "SELECT 1")


@pytest.mark.parametrize("name", ["SIGKILL", "SIGTERM", "SIGINT", "SIGHUP"])
def test_nothing_is_left_when_its_owner_dies(name: str, database_url: str, folder: Path) -> None:
    need_pgbouncer()
    with subprocess.Popen(
        [sys.executable, "-c", OWNER, database_url],
        cwd=ROOT, stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL,
        encoding="utf-8", start_new_session=True,
    ) as program:  # fmt: skip
        assert program.stdout
        assert program.stdout.readline() == "ready\n"
        assert list_processes(folder)
        os.killpg(program.pid, signal.Signals[name])
        program.communicate()
    wait_until("its files are gone", lambda: not list(folder.iterdir()))


def test_a_port_that_was_taken_meanwhile_is_left_alone(
    database_url: str, folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    need_pgbouncer()
    with run_pgbouncer(database_url) as first:
        ports = iter([make_url(first).port, free_port()])
        monkeypatch.setattr(pgbouncer, "free_port", lambda: next(ports))
        with run_pgbouncer(database_url) as second:
            assert make_url(second).port != make_url(first).port
            assert ask(second, "SELECT 1") == [(1,)]


def test_a_wrong_setting_is_named(database_url: str, folder: Path) -> None:
    release = need_pgbouncer()
    with (
        pytest.raises(PostgresError, match=rf"PgBouncer {release.version} does not start: .+"),
        run_pgbouncer(database_url, pool_mode="tea"),
    ):
        pass


def test_an_old_release_knows_no_tracking_and_starts_without(database_url: str) -> None:
    old = need_old_pgbouncer()
    with run_pgbouncer(database_url, old, max_prepared_statements="0") as url:
        assert ask(url, "SELECT 1") == [(1,)]
    with (
        pytest.raises(PostgresError, match="has no max_prepared_statements"),
        run_pgbouncer(database_url, old, max_prepared_statements="200"),
    ):
        pass


def test_without_one_it_says_how_to_get_it(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(pgbouncer, "find_releases", tuple)
    with pytest.raises(PostgresError, match=r"run `\.ci/pgbouncer`, elsewhere install pgbouncer"):
        newest_release()
    assert find_releases() == RELEASES
