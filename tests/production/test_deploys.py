"""Two generations of the real application side by side, their connections counted."""

import asyncio
import errno
import os
import re
import signal
import socket
from collections import Counter
from collections.abc import Callable, Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import ExitStack, contextmanager
from pathlib import Path
from subprocess import Popen
from typing import Any

import psycopg
import pytest
from sqlalchemy import make_url, text
from sqlalchemy.exc import DBAPIError

from tests.loading import load_snippet
from tests.poolers import need_old_pgbouncer, need_pgbouncer
from tests.pools import MakeEngine
from tests.production.teahouse import Running, backends, run, running, unpack_patient
from tests.report import require_on
from tests.versions import IS_2_0
from tests.waiting import eventually, wait_until
from tools.paths import SNIPPETS
from tools.postgres import EmbeddedPostgres, dsn_of, pgbouncer
from tools.postgres.pgbouncer import Release, run_pgbouncer

OLD = {"APPLICATION_NAME": "teahouse-1", "POOL_SIZE": "2", "MAX_OVERFLOW": "2"}
NEW = {**OLD, "APPLICATION_NAME": "teahouse-2"}
GIVEN_BACK = "production/deploys/given_back.py"
IMPORTS = """\
import signal
from threading import current_thread, main_thread
from typing import Any
"""


@pytest.fixture
def place(tmp_path: Path) -> Path:
    """The application, unpacked."""
    return unpack_patient(tmp_path)


@pytest.fixture
def url(place: Path) -> Iterator[str]:
    """A server with few slots, and the tables of the application."""
    with EmbeddedPostgres(max_connections="14", superuser_reserved_connections="2") as server:
        run(place, ["alembic", "upgrade", "head"], server.url())
        yield server.url()


@contextmanager
def table_locked(url: str) -> Iterator[None]:
    """Orders do not come to an end in here; then they do."""
    with psycopg.connect(dsn_of(url)) as connection:
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
            look(2, 0)  # it is ready, by the probe's own connection
            with table_locked(url):
                answers = orders(guests, new, 4)
                look(2, 4)
                answers += orders(guests, old, 4)
                look(4, 4)
                old.process.terminate()
                wait_until("it lets nobody in", lambda: old.status("/live") == 0)
                look(4, 4)
            assert Counter(each.result() for each in answers) == {201: 8}
            old.process.communicate()
            look(0, 2)
    for old_has, new_has in rows:
        require_on("production/deploys", f"| {old_has} | {new_has} | {old_has + new_has} |")


def test_without_a_slot_it_is_alive_and_becomes_ready_when_one_is_free(
    place: Path, url: str
) -> None:
    with ExitStack() as others:
        for _ in range(14):
            others.enter_context(psycopg.connect(dsn_of(url)))
        with running(place, url, until="/live", **NEW) as new:
            assert new.status("/ready") == 503
            others.close()
            wait_until("it is ready", lambda: new.status("/ready") == 200)
            assert new.order().status_code == 201
    assert "sorry, too many clients already" in new.said


def test_on_a_full_server_the_old_generation_serves_but_its_readiness_probe_fails_too(
    place: Path, url: str
) -> None:
    def connects() -> bool:
        try:
            others.enter_context(psycopg.connect(dsn_of(url)))
        except psycopg.OperationalError:  # one that has left still has its slot
            return False
        return True

    with ExitStack() as others, running(place, url, **OLD) as old:
        assert old.order().status_code == 201
        wait_until("the probe has left", lambda: counted(url) == (1, 0))
        for _ in range(13):
            wait_until("one more is connected", connects)
        assert old.status("/live") == 200
        assert old.order().status_code == 201
        assert old.status("/ready") == 503
        others.close()
        wait_until("it is ready again", lambda: old.status("/ready") == 200)


ROLE = """
    CREATE ROLE shop LOGIN PASSWORD 'longjing' CONNECTION LIMIT 3;
    GRANT ALL ON ALL TABLES IN SCHEMA public TO shop;
    GRANT ALL ON ALL SEQUENCES IN SCHEMA public TO shop;
"""


def test_one_slot_makes_it_ready_and_a_limit_of_the_role_refuses_the_rest(
    place: Path, url: str
) -> None:
    with psycopg.connect(dsn_of(url)) as connection:
        connection.execute(ROLE)
    limited = make_url(url).set(username="shop", password="longjing").render_as_string(False)
    with ThreadPoolExecutor(20) as guests, running(place, limited, **OLD) as old:
        with table_locked(url):
            answers = orders(guests, old, 2)
            wait_until("both wait", lambda: counted(url) == (2, 0))
        assert Counter(each.result() for each in answers) == {201: 2}
        with running(place, limited, **NEW) as new:  # which is ready: one slot was enough
            with table_locked(url):
                answers = orders(guests, new, 2)
                wait_until("one is refused", lambda: any(each.done() for each in answers))
                assert counted(url) == (2, 1)
            refused = 500 if IS_2_0 else 503  # 2.0 does not wrap what asyncpg says of a login
            assert Counter(each.result() for each in answers) == {201: 1, refused: 1}
            assert new.status("/ready") == 503  # no slot is left for it either
            assert old.order().status_code == 201
        assert 'too many connections for role "shop"' in new.said


@contextmanager
def sigterm_handled(handler: Any) -> Iterator[None]:
    """SIGTERM comes to this handler in here; then to the one that was there."""
    was = signal.signal(signal.SIGTERM, handler)
    try:
        yield
    finally:
        signal.signal(signal.SIGTERM, was)


def run_lifespan() -> None:
    """Enter the snippet's `lifespan` and leave it, in a loop of its own."""
    lifespan = load_snippet(GIVEN_BACK)["lifespan"]

    async def live() -> None:
        async with lifespan(None):
            pass

    asyncio.run(live())


def test_given_back_leaves_the_handler_of_the_server_as_it_was() -> None:
    for handler in signal.SIG_DFL, lambda *_: None:
        with sigterm_handled(handler):
            run_lifespan()
            assert signal.getsignal(signal.SIGTERM) == handler


def test_given_back_ends_when_the_early_dispose_has_ended() -> None:
    snippet = load_snippet(GIVEN_BACK)
    ended = list[str]()

    async def live() -> None:
        began, second = asyncio.Event(), asyncio.Event()

        class Engine:
            async def dispose(self) -> None:
                if is_first := not began.is_set():
                    began.set()
                    await second.wait()
                    await asyncio.sleep(0)  # a connection takes its time to close
                ended.append("first" if is_first else "second")
                second.set()

        snippet["engine"] = Engine()
        async with snippet["lifespan"](None):
            os.kill(os.getpid(), signal.SIGTERM)
            await began.wait()

    with sigterm_handled(lambda *_: None):
        asyncio.run(live())
    assert ended == ["second", "first"], "the first dispose() is canceled where the program ends"


@pytest.mark.parametrize(
    ("choose", "stays"),
    [(need_old_pgbouncer, False), (need_pgbouncer, True)],
    ids=["before 1.21", "the newest"],
)
async def test_a_pgbouncer_that_is_told_to_end_keeps_its_lines_or_not_and_lets_no_new_ones_in(
    database_url: str,
    make_engine: MakeEngine,
    monkeypatch: pytest.MonkeyPatch,
    choose: Callable[[], Release],
    stays: bool,
) -> None:
    started = list[Popen[bytes]]()
    start = pgbouncer._start

    def start_and_keep(release: Release, folder: Path) -> Popen[bytes]:
        started.append(start(release, folder))
        return started[-1]

    monkeypatch.setattr(pgbouncer, "_start", start_and_keep)
    with run_pgbouncer(database_url, choose()) as url:
        address = make_url(url)

        def refuses() -> bool:
            with socket.socket() as line:
                return line.connect_ex((address.host, address.port)) == errno.ECONNREFUSED

        async with make_engine(url).connect() as connection:
            started[-1].terminate()
            await eventually("new lines are refused", refuses)
            with pytest.raises(ConnectionRefusedError):
                await make_engine(url).connect()
            if stays:
                assert await connection.scalar(text("SELECT 'oolong'")) == "oolong"
            else:
                with pytest.raises(DBAPIError):
                    await connection.scalar(text("SELECT 'oolong'"))


def test_given_back_runs_in_a_thread_as_a_test_client_runs_it() -> None:
    with sigterm_handled(lambda *_: None), ThreadPoolExecutor(1) as thread:
        thread.submit(run_lifespan).result()


def test_uvicorn_hears_sigterm_too_and_the_idle_connections_are_gone(place: Path, url: str) -> None:
    snippet = (SNIPPETS / GIVEN_BACK).read_text("utf-8")
    [hears] = re.findall(r"^    loop = .*?(?=^    yield)", snippet, re.MULTILINE | re.DOTALL)
    app = place / "teahouse" / "app.py"
    text = app.read_text("utf-8").replace(
        "    try:\n        yield", f"{hears}    try:\n        yield"
    )
    app.write_text(f"{IMPORTS}{text}", "utf-8")
    with ThreadPoolExecutor(20) as guests, running(place, url, **OLD) as old:
        with table_locked(url):
            first = orders(guests, old, 2)
            wait_until("both wait", lambda: counted(url) == (2, 0))
        assert Counter(each.result() for each in first) == {201: 2}
        with table_locked(url):
            last = orders(guests, old, 1)
            wait_until("one is lent", lambda: old.metric("count", "used") == 1)
            assert counted(url) == (2, 0)
            old.process.terminate()
            wait_until("the idle one is gone", lambda: counted(url) == (1, 0))
        assert [each.result() for each in last] == [201]
        old.said, _ = old.process.communicate()
    assert "Application shutdown complete" in old.said
