"""The application of the page does what the page says, started and run as by its reader."""

import asyncio
import re
import shlex
import signal
import subprocess
import sys
import tomllib
from collections import Counter
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import psycopg
import pytest
from ruamel.yaml import YAML
from sqlalchemy import text
from sqlalchemy.ext.asyncio import create_async_engine

from tests.asking import ask_sync
from tests.pools import cut_at_login
from tests.production.teahouse import (
    PROJECT,
    backends,
    container_command,
    finish,
    read,
    run,
    running,
    start,
    unpack,
    unpack_patient,
)
from tests.report import report
from tests.waiting import DEADLINE, eventually, wait_until
from tools.paths import ROOT, SNIPPETS
from tools.postgres import EmbeddedPostgres, Proxy, dsn_of, free_port, fresh_database
from tools.proof.snippets import list_files
from tools.site.archives import build_archive

UPGRADE = ["alembic", "upgrade", "head"]
LONGEST = 400
ORDERS = "SELECT count(*) FROM orders"
MIGRATION_LOCKS = "SELECT count(*) FROM pg_locks WHERE locktype = 'advisory'"
WAITS_FOR_A_LOCK = """
    SELECT count(*) FROM pg_stat_activity
    WHERE wait_event_type = 'Lock' AND application_name = 'teahouse-migrations'
"""


@pytest.fixture(scope="module")
def own() -> Iterator[EmbeddedPostgres]:
    """A server that the tests may restart."""
    with EmbeddedPostgres() as server:
        yield server


@pytest.fixture
def url(own: EmbeddedPostgres) -> Iterator[str]:
    """A new database of that server."""
    own.start()
    with fresh_database(own.url()) as url:
        yield url


@pytest.fixture
def place(tmp_path: Path) -> Path:
    """The archive, unpacked, with limits for a busy machine."""
    return unpack_patient(tmp_path)


def indented(markdown: str) -> list[list[str]]:
    """The commands of a README, without the folder of the environment and without comments."""
    lines = re.findall(r"^    (.+)$", markdown, re.MULTILINE)
    return [line.split("#")[0].replace(".venv/bin/", "").split() for line in lines]


def test_a_newcomer_comes_from_the_readme_to_a_running_application(place: Path, url: str) -> None:
    _, _, _, tests, upgrade, serve = indented(read("README.md"))
    assert "3 passed" in run(place, tests, url)
    assert (upgrade, serve) == (UPGRADE, container_command())
    assert "Running upgrade  -> 0001" in run(place, upgrade, url)
    with running(place, url) as teahouse:
        placed = teahouse.order()
        assert placed.status_code == 201
        assert teahouse.client.get(f"/orders/{placed.json()['id']}").json() == placed.json()
        for number in (2**31, 0, -(2**31) - 1):
            assert teahouse.status(f"/orders/{number}") == 422
    assert teahouse.process.returncode == -signal.SIGTERM  # uvicorn passes it on at its end
    assert "Application shutdown complete" in teahouse.said
    wait_until("no backend is left", lambda: backends(url) == 0)


def test_the_projects_tests_leave_no_table_and_no_row(place: Path, url: str) -> None:
    run(place, UPGRADE, url)
    tables = "SELECT count(*) FROM pg_class WHERE relkind = 'r'"
    before = ask_sync(url, tables)
    run(place, ["python", "-m", "pytest"], url)
    assert (ask_sync(url, tables), ask_sync(url, ORDERS)) == (before, 0)


def test_a_hundred_orders_at_once_are_kept_on_ten_connections(place: Path, url: str) -> None:
    run(place, UPGRADE, url)
    with running(place, url) as teahouse, ThreadPoolExecutor(100) as guests:
        answers = [guests.submit(teahouse.order) for _ in range(100)]
        assert Counter(each.result().status_code for each in answers) == {201: 100}
        assert ask_sync(url, ORDERS) == 100
        assert backends(url) <= 10 == teahouse.metric("max")
        assert teahouse.metric("count", "used") == 0
        assert teahouse.metric("timeouts_total") == 0


async def hold_table(url: str, held: asyncio.Event, done: asyncio.Event) -> None:
    engine = create_async_engine(url)
    async with engine.connect() as connection:
        await connection.execute(text("LOCK TABLE orders"))
        held.set()
        await done.wait()
    await engine.dispose()


async def test_who_gets_no_connection_in_time_reads_503_and_the_next_is_served(
    tmp_path: Path, url: str
) -> None:
    place = unpack(tmp_path)
    await asyncio.to_thread(run, place, UPGRADE, url)
    held, done = asyncio.Event(), asyncio.Event()
    with running(place, url, POOL_SIZE="1", MAX_OVERFLOW="0") as teahouse:
        async with asyncio.TaskGroup() as tasks:
            tasks.create_task(hold_table(url, held, done))
            await held.wait()
            orders = [tasks.create_task(asyncio.to_thread(teahouse.order)) for _ in range(3)]
            answers = await asyncio.gather(*orders)
            assert {answer.status_code for answer in answers} == {503}
            assert {answer.headers["Retry-After"] for answer in answers} == {"2"}
            assert teahouse.status("/live") == 200
            done.set()
        assert teahouse.order().status_code == 201
        assert teahouse.metric("timeouts_total") > 0
    assert "QueuePool limit of size 1 overflow 0 reached" in teahouse.said
    assert "canceling statement due to statement timeout" in teahouse.said


async def test_with_the_pool_lent_it_is_alive_and_ready(place: Path, url: str) -> None:
    await asyncio.to_thread(run, place, UPGRADE, url)
    held, done = asyncio.Event(), asyncio.Event()
    with running(place, url, POOL_SIZE="1", MAX_OVERFLOW="0") as teahouse:
        async with asyncio.TaskGroup() as tasks:
            tasks.create_task(hold_table(url, held, done))
            await held.wait()
            order = tasks.create_task(asyncio.to_thread(teahouse.order))
            await eventually("a connection is lent", lambda: teahouse.metric("count", "used"))
            assert await asyncio.to_thread(teahouse.status, "/live") == 200
            assert await asyncio.to_thread(teahouse.status, "/ready") == 200
            assert teahouse.metric("count", "used") == 1
            done.set()
            await order


def test_it_outlives_a_restart_of_the_server(place: Path, url: str, own: EmbeddedPostgres) -> None:
    run(place, UPGRADE, url)
    with running(place, url) as teahouse:
        assert teahouse.order().status_code == 201
        own.restart()
        assert teahouse.order().status_code == 201
        own.stop()
        assert (teahouse.status("/live"), teahouse.status("/ready")) == (200, 503)
        assert teahouse.order().status_code == 503
        own.start()
        assert teahouse.order().status_code == 201
    assert "Invalidat" in teahouse.said
    assert "Traceback" not in teahouse.said


async def test_who_comes_while_logins_are_cut_reads_503(place: Path, url: str) -> None:
    async with Proxy(url) as proxy:
        cut_at_login(proxy)

        def order() -> int:
            through = proxy.url.render_as_string(hide_password=False)
            with running(place, through, until="/live") as teahouse:
                return teahouse.order().status_code

        assert await asyncio.to_thread(order) == 503


def test_it_starts_without_the_database_and_is_ready_once_that_is_there(
    place: Path, url: str, own: EmbeddedPostgres
) -> None:
    own.stop()
    with running(place, url, until="/live") as teahouse:
        assert teahouse.status("/ready") == 503
        own.start()
        wait_until("it is ready", lambda: teahouse.status("/ready") == 200)


def test_without_its_variable_it_says_which_and_shows_no_password(place: Path, url: str) -> None:
    command = start(place, container_command(), url, DATABASE_URL="", POOL_SIZE="many")
    said, _ = command.communicate(timeout=DEADLINE)
    assert command.returncode
    assert "pool_size" in said
    assert "many" not in said


@pytest.mark.parametrize(
    ("name", "value"), [("POOL_SIZE", "0"), ("POOL_SIZE", "-1"), ("MAX_OVERFLOW", "-1")]
)
def test_a_size_that_is_too_small_ends_it_at_its_start(
    name: str, value: str, place: Path, url: str
) -> None:
    command = start(place, container_command(), url, UVICORN_PORT=str(free_port()), **{name: value})
    try:
        said, _ = command.communicate(timeout=DEADLINE)
    finally:
        command.kill()
    assert command.returncode
    assert name.lower() in said


@pytest.mark.parametrize("value", ["", "longjing", "postgresql://tea:longjing", "db:longjing/tea"])
def test_a_url_that_is_none_is_named_and_not_shown(value: str, place: Path, url: str) -> None:
    command = start(place, container_command(), url, DATABASE_URL=value)
    said, _ = command.communicate(timeout=DEADLINE)
    assert command.returncode
    assert "database_url" in said
    assert "longjing" not in said


FAULTS = """
from fastapi import APIRouter
from sqlalchemy import text

from teahouse.database import Session

faults = APIRouter()


@faults.get("/file")
async def file() -> None:
    open("no_such_file", "rb")


@faults.get("/deadlock")
async def deadlock(session: Session) -> None:
    await session.execute(text("DO $$ BEGIN RAISE SQLSTATE '40P01'; END $$"))


@faults.get("/large")
async def large(session: Session) -> None:
    await session.execute(text("SELECT CAST(:number AS integer)"), {"number": 2**31})
"""


def test_a_missing_file_is_a_503_and_a_deadlock_and_a_large_number_are_500(
    place: Path, url: str
) -> None:
    app = place / "teahouse" / "app.py"
    (place / "teahouse" / "faults.py").write_text(FAULTS, "utf-8")
    included = "\nfrom teahouse.faults import faults\n\napp.include_router(faults)\n"
    app.write_text(app.read_text("utf-8") + included, "utf-8")
    with running(place, url) as teahouse:
        closes = {"Connection": "close"}  # uvicorn does after a 500
        found = [
            teahouse.client.get(path, headers=closes).status_code
            for path in ("/file", "/deadlock", "/large")
        ]
    assert found == [503, 500, 500]
    assert "value out of int32 range" in teahouse.said  # asyncpg's words


# Migrations


def test_a_migration_with_another_error_than_a_lock_ends(place: Path, url: str) -> None:
    source = SEEN.replace("CREATE TABLE seen AS SELECT", "SELECT 1 / 0,")
    (place / "migrations" / "versions" / "0002.py").write_text(source, "utf-8")
    command = start(place, UPGRADE, url)
    said, _ = command.communicate(timeout=DEADLINE)
    assert command.returncode
    assert "division by zero" in said


@pytest.mark.parametrize(
    ("was", "now", "said"),
    [
        ("tea: Mapped[str]", "tea: Mapped[str] = mapped_column(index=True)", "3 errors"),
        ("func.now()", "text('tomorrow')", "3 passed"),
        ("id: ", "__table_args__ = (CheckConstraint('id > 0'),)\n    id: ", "3 passed"),
    ],
    ids=["index", "server_default", "CHECK"],
)
def test_command_check_finds_an_index_and_no_server_default_and_no_check(
    was: str, now: str, said: str, place: Path, url: str
) -> None:
    models = place / "teahouse" / "models.py"
    source = models.read_text("utf-8").replace(
        "import DateTime", "import CheckConstraint, DateTime"
    )
    source = source.replace("DateTime, func", "DateTime, func, text").replace(was, now)
    models.write_text(source, "utf-8")
    command = start(place, ["python", "-m", "pytest"], url)
    assert said in command.communicate(timeout=DEADLINE)[0]


def test_two_migrations_at_once_both_succeed(place: Path, url: str) -> None:
    commands = [start(place, UPGRADE, url) for _ in range(2)]
    said = "".join(map(finish, commands))
    assert said.count("Running upgrade  -> 0001") == 1
    assert ask_sync(url, MIGRATION_LOCKS) == 0


def test_a_migration_waits_for_the_lock_of_another(place: Path, url: str) -> None:
    with psycopg.connect(dsn_of(url)) as other:
        other.execute("SELECT pg_advisory_lock(hashtext('teahouse'))")
        migration = start(place, UPGRADE, url)
        assert migration.stdout
        said = next((line for line in migration.stdout if "Running" in line or "lock" in line), "")
        assert "somebody holds a lock" in said
        assert ask_sync(url, "SELECT count(to_regclass('orders'))") == 0
    assert "Running upgrade  -> 0001" in finish(migration)


def add_price(place: Path, url: str) -> str:
    """What a developer does: a column, and the migration for it as the README says."""
    models = place / "teahouse" / "models.py"
    was = models.read_text("utf-8")
    models.write_text(f"{was}    price: Mapped[int | None]\n", "utf-8")
    [command] = re.findall(r"`(alembic revision .+?)`", read("README.md"))
    return run(place, shlex.split(command), url)


async def test_a_migration_lets_queries_pass_while_a_reader_keeps_its_table(
    place: Path, url: str
) -> None:
    await asyncio.to_thread(run, place, UPGRADE, url)
    assert "Detected added column 'orders.price'" in await asyncio.to_thread(add_price, place, url)
    engine = create_async_engine(url)
    async with engine.connect() as reader:
        await reader.execute(text(ORDERS))
        migration = start(place, UPGRADE, url)
        await asyncio.to_thread(wait_until, "it waits", lambda: ask_sync(url, WAITS_FOR_A_LOCK))
        async with engine.connect() as guest:
            assert await guest.scalar(text(ORDERS)) == 0
        assert migration.poll() is None
    assert "0001 -> " in await asyncio.to_thread(finish, migration)
    await engine.dispose()


async def test_a_migration_that_is_killed_leaves_no_lock(place: Path, url: str) -> None:
    await asyncio.to_thread(run, place, UPGRADE, url)
    await asyncio.to_thread(add_price, place, url)
    engine = create_async_engine(url)
    async with engine.connect() as reader:
        await reader.execute(text(ORDERS))
        migration = start(place, UPGRADE, url)
        await asyncio.to_thread(wait_until, "it waits", lambda: ask_sync(url, WAITS_FOR_A_LOCK))
        assert await asyncio.to_thread(ask_sync, url, MIGRATION_LOCKS) == 1
        migration.kill()
        await asyncio.to_thread(migration.communicate)
    await engine.dispose()
    assert "0001 -> " in await asyncio.to_thread(run, place, UPGRADE, url)
    assert await asyncio.to_thread(ask_sync, url, MIGRATION_LOCKS) == 0


SEEN = """
from alembic import op

revision, down_revision = "0002", "0001"


def upgrade() -> None:
    op.execute("CREATE TABLE seen AS SELECT current_setting('statement_timeout') AS value")
"""


def test_a_limit_that_alter_role_or_database_sets_does_not_end_a_migration(
    place: Path, url: str
) -> None:
    with psycopg.connect(dsn_of(url), autocommit=True) as connection:
        name = connection.info.dbname
        connection.execute(f"ALTER DATABASE \"{name}\" SET statement_timeout = '60s'".encode())
    (place / "migrations" / "versions" / "0002.py").write_text(SEEN, "utf-8")
    run(place, UPGRADE, url)
    assert ask_sync(url, "SELECT count(*) FROM seen WHERE value = '0'") == 1


CONCURRENTLY = """
from contextlib import nullcontext

from alembic import op

revision, down_revision = "0002", "0001"


def upgrade() -> None:
    context = op.get_context()
    alone = "connection" not in context.config.attributes
    with context.autocommit_block() if alone else nullcontext():
        op.execute("SET lock_timeout = 0")
        op.create_index("by_tea", "orders", ["tea"], postgresql_concurrently=alone)
        op.execute("RESET lock_timeout")
"""


INDEXED = """\
    __table_args__ = (Index("by_tea", "tea"),)
    tea: Mapped[str]"""


def test_an_index_is_made_concurrently_though_another_migration_waits(
    place: Path, url: str
) -> None:
    run(place, UPGRADE, url)
    (place / "migrations" / "versions" / "0002.py").write_text(CONCURRENTLY, "utf-8")
    commands = [start(place, UPGRADE, url) for _ in range(2)]
    assert "".join(map(finish, commands)).count("0001 -> 0002") == 1
    valid = "SELECT count(*) FROM pg_index WHERE indisvalid AND indexrelid = 'by_tea'::regclass"
    assert ask_sync(url, valid) == 1


@pytest.mark.parametrize("block", ["nullcontext()", "context.autocommit_block()"])
def test_an_index_made_concurrently_passes_the_projects_tests_if_made_otherwise_there(
    block: str, place: Path, url: str
) -> None:
    models = place / "teahouse" / "models.py"
    was = models.read_text("utf-8")
    models.write_text(
        was.replace("    tea: Mapped[str]", INDEXED).replace("DateTime,", "DateTime, Index,"),
        "utf-8",
    )
    source = CONCURRENTLY.replace("nullcontext():", f"{block}:")
    (place / "migrations" / "versions" / "0002.py").write_text(source, "utf-8")
    said, _ = start(place, ["python", "-m", "pytest"], url).communicate(timeout=DEADLINE)
    assert ("AssertionError" if "autocommit" in block else "3 passed") in said


# What stands in the files


def test_it_has_fewer_than_400_lines() -> None:
    files = list_files(PROJECT / "README.md")
    lines = [line for file in files for line in file.read_text("utf-8").splitlines()]
    assert len([line for line in lines if line.strip()]) < LONGEST


def test_the_archive_has_the_files_of_the_project_and_is_always_the_same(tmp_path: Path) -> None:
    place = unpack(tmp_path)
    there = {file.relative_to(place) for file in place.rglob("*") if file.is_file()}
    assert there == {file.relative_to(PROJECT) for file in list_files(PROJECT / "README.md")}
    assert build_archive(PROJECT) == build_archive(PROJECT)


def test_its_versions_are_those_that_were_run() -> None:
    ours = tomllib.loads((ROOT / "pyproject.toml").read_text("utf-8"))["project"]
    project = tomllib.loads(read("pyproject.toml"))["project"]
    pinned = [each for each in project["dependencies"] if "==" in each]
    assert pinned == [each for each in ours["dependencies"] if each in pinned]
    assert project["requires-python"] == ours["requires-python"]


def test_its_pool_is_that_of_the_page_on_watching() -> None:
    page = (SNIPPETS / "pool/watching/prometheus.py").read_text("utf-8")
    [shown] = re.findall(r"^class WatchedPool.*?(?=\n\n\n)", page, re.MULTILINE | re.DOTALL)
    assert shown in read("teahouse/metrics.py")


def test_each_wait_of_it_is_shorter_than_the_next() -> None:
    settings, _, _ = read("teahouse/database.py").partition("def make_probing_engine")
    names = ['"timeout"', "pool_timeout", '"statement_timeout"', '"command_timeout"', "REQUEST"]
    found = [re.findall(rf'{name}(?:: "?| ?= ?)(\d+)', settings) for name in names]
    values = [int(value) for [value] in found]
    assert values == sorted(set(values))


def test_its_probes_have_the_options_of_the_page_on_probes() -> None:
    _, _, probing = read("teahouse/database.py").partition("def make_probing_engine")
    page = (SNIPPETS / "production/probes/app.py").read_text("utf-8")
    assert 'isolation_level": "AUTOCOMMIT"' in page
    assert 'isolation_level="AUTOCOMMIT"' in probing
    assert '"command_timeout": LIMIT' in page
    assert '"command_timeout": 2' in probing
    assert "timeout(2)" in read("teahouse/probes.py")


def test_its_container_copies_what_it_installs_and_runs_as_no_root() -> None:
    lines = read("Containerfile").splitlines()
    known = {"FROM", "ENV", "WORKDIR", "COPY", "RUN", "USER", "CMD"}
    assert {line.split()[0] for line in lines} == known
    assert "USER nobody" in lines
    assert "pip install --no-cache-dir ." in read("Containerfile")


def test_compose_migrates_before_it_starts_and_waits_longer_than_the_server() -> None:
    services = YAML().load(PROJECT / "compose.yaml")["services"]
    assert services["migrate"]["command"] == UPGRADE
    assert services["app"]["depends_on"] == {
        "migrate": {"condition": "service_completed_successfully"}
    }
    assert int(services["app"]["stop_grace_period"].rstrip("s")) > int(container_command()[-1])
    assert all(port.startswith("127.0.0.1:") for port in services["app"]["ports"])


@pytest.mark.timeout(900)  # as in tests/rules/test_code.py
def test_every_type_of_it_is_right(place: Path) -> None:
    options = ["--strict", "--explicit-package-bases", "--no-error-summary"]
    cache = f"--cache-dir={ROOT / '.cache' / 'mypy-teahouse'}"
    mypy = subprocess.run(
        [sys.executable, "-m", "mypy", *options, cache, "."],
        cwd=place, capture_output=True, encoding="utf-8",
    )  # fmt: skip
    report((mypy.stdout + mypy.stderr).splitlines())
