"""Two generations of the real application side by side, their connections counted."""

import re
from collections import Counter
from collections.abc import Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import contextmanager
from pathlib import Path

import psycopg
import pytest

from tests.production.teahouse import Running, backends, run, running, unpack
from tests.report import require_on
from tests.waiting import wait_until
from tools.postgres import EmbeddedPostgres

OLD = {"APPLICATION_NAME": "teahouse-1", "POOL_SIZE": "2", "MAX_OVERFLOW": "2"}
NEW = {**OLD, "APPLICATION_NAME": "teahouse-2"}


@pytest.fixture(scope="module")
def place(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The application, unpacked, with limits that do not strike on a busy machine."""
    unpacked = unpack(tmp_path_factory.mktemp("deploys"))
    database = unpacked / "teahouse" / "database.py"
    settings = database.read_text("utf-8")
    for shipped in ("REQUEST = 8", "pool_timeout=3", '_timeout": 6', '_timeout": "5s'):
        assert shipped in settings
        settings = settings.replace(shipped, re.sub(r"(\d)", r"\g<1>0", shipped))
    database.write_text(settings, "utf-8")
    return unpacked


@pytest.fixture
def url(place: Path) -> Iterator[str]:
    """A server with few slots, and the tables of the application."""
    settings = {"max_connections": "14", "superuser_reserved_connections": "2"}
    with EmbeddedPostgres(**settings) as server:
        run(place, ["alembic", "upgrade", "head"], server.url())
        yield server.url()


@contextmanager
def table_locked(url: str) -> Iterator[None]:
    """Orders do not come to an end in here; then they do."""
    with psycopg.connect(url.replace("+asyncpg", "")) as connection:
        connection.execute("LOCK TABLE orders")
        yield


def counted(url: str) -> tuple[int, int]:
    """The connections of the old generation and of the new one."""
    return backends(url, "teahouse-1"), backends(url, "teahouse-2")


def orders(guests: ThreadPoolExecutor, teahouse: Running, number: int) -> list[Future[int]]:
    """So many orders at once; the statuses to come."""
    return [guests.submit(lambda: teahouse.order().status_code) for _ in range(number)]


def test_the_table_of_the_page_counts_both_generations(place: Path, url: str) -> None:
    rows: list[tuple[int, int]] = []

    def look(old: int, new: int) -> None:
        wait_until(f"{old} + {new} are connected", lambda: counted(url) == (old, new))
        rows.append((old, new))

    with ThreadPoolExecutor(20) as guests, running(place, url, **OLD) as old:
        with table_locked(url):
            answers = orders(guests, old, 4)
            look(4, 0)
        assert Counter(each.result() for each in answers) == {201: 4}
        look(2, 0)
        with running(place, url, **NEW) as new:
            look(2, 1)
            with table_locked(url):
                answers = orders(guests, new, 4)
                look(2, 4)
                answers += orders(guests, old, 4)
                look(4, 4)
                old.process.terminate()
                wait_until("it lets nobody in", lambda: old.status("/livez") == 0)
                look(4, 4)
            assert Counter(each.result() for each in answers) == {201: 8}
            old.process.communicate()
            look(0, 2)
    for old_has, new_has in rows:
        require_on("production/deploys", f"| {old_has} | {new_has} | {old_has + new_has} |")
