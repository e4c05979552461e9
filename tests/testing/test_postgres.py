"""What the page on a PostgreSQL for tests says beyond what its listings show."""

import asyncio
import os
import re
import runpy
import signal
import subprocess
import sys
import tempfile
from collections.abc import Callable
from datetime import UTC, datetime
from pathlib import Path
from secrets import token_hex
from typing import Any

import pytest
from sqlalchemy import (
    Boolean,
    Column,
    Connection,
    DateTime,
    ForeignKey,
    Integer,
    MetaData,
    NullPool,
    StaticPool,
    Table,
    Text,
    insert,
    make_url,
    text,
    true,
)
from sqlalchemy.exc import DBAPIError
from sqlalchemy.ext.asyncio import AsyncEngine, create_async_engine
from sqlalchemy.pool import AsyncAdaptedQueuePool

from tests.pools import MakeEngine
from tests.testing.readers import run_source
from tests.waiting import wait_until
from tools.paths import SNIPPETS
from tools.postgres import Server
from tools.postgres.binaries import find_binaries
from tools.proof.projects import choose_user, copy_project, make_environment

PAGE = SNIPPETS / "testing/postgres"
SERVER = PAGE / "server/test_orders.py"
TEMPLATE = PAGE / "template/test_orders.py"
PLUGIN = PAGE / "plugin/test_orders.py"
TELL = """
import os, pathlib, threading, uuid

AT_IMPORT = os.environ["DATABASE_URL"]

def tell():
    part = pathlib.Path(f"{uuid.uuid4()}.part")
    part.write_text(AT_IMPORT + "\\n" + os.environ["DATABASE_URL"])
    part.rename(part.with_suffix(".url"))

def test_one(): tell()

def test_two(): tell()
"""
WORKER = """[tool.pytest.ini_options]
asyncio_default_fixture_loop_scope = "function"
addopts = "-n 1"
postgresql_load = []
"""
NAMES = """
from pytest_postgresql import factories

running = factories.postgresql_noproc(dbname="{dbname}", **{given!r})
postgresql = factories.postgresql("running")

def test_name(postgresql): assert not postgresql.info.dbname, repr(postgresql.info.dbname)
"""
WAIT = "\n\ndef test_that_waits(): threading.Event().wait()\n"


def start(
    folder: Path,
    snippet: Path,
    *options: str,
    url: str = "postgresql://no.server/at/all",
    **variables: str,
) -> "subprocess.Popen[str]":
    """Run a project as a reader does, in a folder that has its files."""
    environment = {**make_environment(snippet, url), "PYTEST_DEBUG_TEMPROOT": str(folder)}
    return subprocess.Popen(
        [sys.executable, "-m", "pytest", "-p", "no:cacheprovider", *options],
        cwd=folder, env={**environment, **variables}, encoding="utf-8",
        stdout=subprocess.PIPE, stderr=subprocess.STDOUT, process_group=0,
    )  # fmt: skip


def change(file: Path, old: str, new: str) -> None:
    said = file.read_text("utf-8")
    assert old in said
    file.write_text(said.replace(old, new), "utf-8")


def read_urls(folder: Path) -> list[tuple[str, str]]:
    """The URLs that tests were given: at the import of their module, and later."""
    texts = [file.read_text("utf-8") for file in folder.glob("*.url")]
    return [(first, second) for first, second in map(str.splitlines, texts)]


def list_homes(folder: Path) -> set[Path]:
    """The folders of the servers that tests were told of."""
    return {Path(url.split("host=")[1]) for urls in read_urls(folder) for url in urls}


def runs(process: int) -> bool:
    """Whether a process is there, other than as a name that its parent has still to read."""
    try:
        return "State:\tZ" not in Path(f"/proc/{process}/status").read_text("utf-8")
    except FileNotFoundError:
        return False


@pytest.fixture
def telling(tmp_path: Path) -> Path:
    """The project of the recipe, with tests that write down their server's address."""
    copy_project(SERVER, tmp_path)
    (tmp_path / SERVER.name).write_text(TELL, "utf-8")
    return tmp_path


# The recipe


def test_after_kill_9_server_and_files_are_gone(telling: Path) -> None:
    (telling / SERVER.name).write_text(TELL + WAIT, "utf-8")
    with start(telling, SERVER) as program:
        wait_until("the tests know their server", lambda: len([*telling.glob("*.url")]) == 2)
        (home,) = list_homes(telling)
        server = int((home / "data/postmaster.pid").read_text("utf-8").split()[0])
        assert runs(server)
        program.kill()
    wait_until("the server's files are gone", lambda: not home.exists())
    wait_until("the server has ended", lambda: not runs(server))


def test_the_server_goes_though_pytest_is_gone_before_it_is_there() -> None:
    recipe = runpy.run_path(str(SERVER.with_name("conftest.py")))
    home = tempfile.mkdtemp(prefix="pg-")
    keeper = subprocess.Popen(
        ["sh", "-c", recipe["SERVER"], "sh", recipe["PROGRAMS"], home],
        stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL,
        **recipe["choose_account"](home),
    )  # fmt: skip
    assert keeper.stdin
    assert keeper.stdout
    keeper.stdout.close()
    keeper.stdin.close()
    keeper.wait()
    assert not Path(home).exists()


def test_ctrl_c_ends_the_server_as_well(telling: Path) -> None:
    (telling / SERVER.name).write_text(TELL + WAIT, "utf-8")
    with start(telling, SERVER) as program:
        wait_until("the tests know their server", lambda: len([*telling.glob("*.url")]) == 2)
        (home,) = list_homes(telling)
        os.killpg(program.pid, signal.SIGINT)  # as a terminal does
        assert "KeyboardInterrupt" in program.communicate()[0]
    assert not home.exists()


def test_all_workers_of_xdist_have_one_server(telling: Path) -> None:
    change(telling / "pyproject.toml", "options]", 'options]\naddopts = "-n 2"')
    with start(telling, telling / SERVER.name) as program:
        assert "2 passed" in program.communicate()[0]
    (home,) = list_homes(telling)
    assert not home.exists()


@pytest.mark.skipif(not os.path.isdir("/dev/shm"), reason="there is no RAM disk /dev/shm")
def test_tmpdir_puts_the_files_on_a_ram_disk(telling: Path) -> None:
    with start(telling, SERVER, TMPDIR="/dev/shm") as program:
        program.communicate()
    assert {home.parent for home in list_homes(telling)} == {Path("/dev/shm")}


def test_a_server_that_does_not_start_says_why(telling: Path) -> None:
    change(telling / "conftest.py", "-c fsync=off", "-c fsink=off")
    with start(telling, SERVER) as program:
        said = program.communicate()[0]
    assert 'unrecognized configuration parameter "fsink"' in said
    assert program.returncode == 1


def test_with_test_database_url_the_same_tests_run_on_that_server(
    tmp_path: Path, server: Server
) -> None:
    copy_project(TEMPLATE, tmp_path)
    (tmp_path / "test_urls.py").write_text(TELL, "utf-8")
    with start(tmp_path, TEMPLATE, TEST_DATABASE_URL=server.url) as program:
        assert "6 passed" in program.communicate()[0]
    given = make_url(server.url)
    used = {make_url(url) for urls in read_urls(tmp_path) for url in urls}
    assert {(url.host, url.port) for url in used} == {(given.host, given.port)}
    assert not {*list_databases(server, "guide_te")}


def test_with_the_scope_session_each_worker_has_a_database(tmp_path: Path) -> None:
    copy_project(TEMPLATE, tmp_path)
    (tmp_path / TEMPLATE.name).write_text(TELL, "utf-8")
    change(tmp_path / "conftest.py", "(autouse=True)", '(autouse=True, scope="session")')
    with start(tmp_path, TEMPLATE) as program:
        assert "2 passed" in program.communicate()[0]
    assert len({database for _, database in read_urls(tmp_path)}) == 2


def test_an_engine_that_was_made_too_early_stops_the_tests(tmp_path: Path) -> None:
    copy_project(TEMPLATE, tmp_path)
    make, at_the_top = "return create_async", "return engine\n\nengine = create_async"
    change(tmp_path / "shop.py", f"    {make}", f"    {at_the_top}")
    daily = "postgresql+asyncpg://no.server/daily_work"
    with start(tmp_path, TEMPLATE, "-n", "0", url=daily) as program:
        said = program.communicate()[0]
    assert "tests would write to daily_work" in said, "no assertion keeps tests from that database"
    assert "4 errors" in said


@pytest.mark.parametrize("too_early", ["conftest", "plugin", "module outside"])
def test_what_is_imported_before_the_configuration_has_the_url_of_daily_work(
    too_early: str, tmp_path: Path, server: Server
) -> None:
    (folder := tmp_path / "app" / "tests").mkdir(parents=True)
    (top := tmp_path if too_early == "conftest" else folder).joinpath("conftest.py").write_bytes(
        (SERVER.parent / "conftest.py").read_bytes()
    )
    (tmp_path / "shop.py").write_text("import os\nurl = os.environ['DATABASE_URL']\n", "utf-8")
    if too_early == "conftest":
        (folder / "conftest.py").write_text("import shop\n", "utf-8")
    elif too_early == "plugin":
        with (top / "conftest.py").open("a", encoding="utf-8") as conftest:
            conftest.write("pytest_plugins = ['shop']\n")
    else:
        (tmp_path / "app" / "a").mkdir()
        (tmp_path / "app" / "a" / "test_a.py").write_text("import shop\n", "utf-8")
    test = "import os, shop\ndef test_url(): assert shop.url != os.environ['DATABASE_URL']\n"
    (folder / "test_it.py").write_text(test, "utf-8")
    options = ("-o", "pythonpath=.", *([] if too_early == "module outside" else ["app/tests"]))
    with start(tmp_path, SERVER, *options, TEST_DATABASE_URL=server.url) as program:
        assert "1 passed" in program.communicate()[0]


@pytest.mark.skipif(os.geteuid() != 0, reason="an ordinary user reads what is his")
def test_programs_that_nobody_may_read_are_named(telling: Path) -> None:
    (closed := telling / "closed").mkdir(mode=0o700)
    (closed / "initdb").touch(mode=0o755)
    change(telling / "conftest.py", "PROGRAMS = ", f"PROGRAMS = {str(closed)!r} or ")
    with start(telling, SERVER) as program:
        assert f"{closed}/initdb: Permission denied" in program.communicate()[0]


def test_the_wheel_has_no_extension_but_vector_and_no_tls(telling: Path) -> None:
    extensions = find_binaries(18).parent / "share/postgresql/extension"
    assert {file.stem for file in extensions.glob("*.control")} == {"plpgsql", "vector"}
    change(telling / "conftest.py", "-c fsync=off", "-c ssl=on")
    with start(telling, SERVER) as program:
        assert "SSL is not supported by this build" in program.communicate()[0]


def list_databases(server: Server, beginning: str) -> list[str]:
    """The databases whose names begin so, but those of other processes' tests."""

    async def ask() -> list[str]:
        engine = create_async_engine(server.url, poolclass=NullPool)
        async with engine.connect() as connection:
            names = await connection.scalars(text("SELECT datname FROM pg_database"))
            return [name for name in names if name.startswith(beginning)]

    return asyncio.run(ask())


# pytest-postgresql and SQLite


@pytest.mark.skipif(os.geteuid() != 0, reason="only root is refused")
def test_pytest_postgresql_refuses_root(tmp_path: Path) -> None:
    assert choose_user(make_environment(PLUGIN, ""))
    copy_project(PLUGIN, tmp_path)
    with start(tmp_path, PLUGIN) as program:
        assert "cannot be run as root" in program.communicate()[0]


def test_the_plugin_takes_a_server_that_runs_and_asks_for_a_password(
    tmp_path: Path, server: Server
) -> None:
    copy_project(PLUGIN, tmp_path)
    at = make_url(server.url)
    where = {"host": at.host, "port": at.port, "user": at.username, "password": at.password}
    given = [f"{name}={value!r}" for name, value in where.items()]
    name = f"guide_plugin_{token_hex(4)}"
    change(tmp_path / "conftest.py", "postgresql_proc = factories.postgresql_proc(str(PG_CTL), ",
           "postgresql = factories.postgresql('running')\nrunning = factories.postgresql_noproc("
           f"{', '.join(given)}, dbname={name!r}, ")  # fmt: skip
    with start(tmp_path, PLUGIN) as program:
        assert "2 passed" in program.communicate()[0]
    assert not {*list_databases(server, name)}


def test_with_xdist_the_database_on_a_server_that_runs_has_the_workers_name(
    tmp_path: Path, server: Server
) -> None:
    at = make_url(server.url)
    name = f"guide_plugin_{token_hex(4)}"
    given = {"host": at.host, "port": at.port, "user": at.username, "password": at.password}
    source, settings = NAMES.format(dbname=name, given=given), WORKER
    said = run_source(source, tmp_path, server.url, "--tb=line", settings=settings).stdout
    assert f"'{name}gw0'" in said
    assert not {*list_databases(server, name)}


def test_in_memory_sqlite_has_one_connection_and_takes_no_pool_size(tmp_path: Path) -> None:
    in_memory = create_async_engine("sqlite+aiosqlite://")
    assert type(in_memory.pool) is StaticPool
    with pytest.raises(TypeError, match="'pool_size'"):
        create_async_engine("sqlite+aiosqlite://", pool_size=2)
    in_file = create_async_engine(f"sqlite+aiosqlite:///{tmp_path / 'shop'}", pool_size=2)
    assert type(in_file.pool) is AsyncAdaptedQueuePool


def orders(*columns: Column[Any]) -> Table:
    return Table("orders", MetaData(), Column("id", Integer, primary_key=True), *columns)


def by_device(connection: Connection, right: bool) -> None:
    orders(Column("by", Text, server_default="ios" if right else text("ios"))).create(connection)


def by_truth(connection: Connection, right: bool) -> None:
    paid = Column("paid", Boolean, server_default=true() if right else text("1"))
    orders(paid).create(connection)


def by_name(connection: Connection, right: bool) -> None:
    of_guest = orders(Column("guest", ForeignKey("guests.name")))
    id = Column("id", Integer, primary_key=True)
    Table("guests", of_guest.metadata, id, Column("name", Text, unique=right))
    of_guest.metadata.create_all(connection)


def by_nobody(connection: Connection, right: bool) -> None:
    table = orders(Column("tea", Text))
    table.create(connection)
    connection.execute(insert(table).values({"tea": "sencha"} | ({} if right else {"id": None})))


@pytest.mark.parametrize(
    ("does", "said"),
    [
        (by_device, "cannot use column reference in DEFAULT expression"),
        (by_truth, 'column "paid" is of type boolean but default expression is of type integer'),
        (
            by_name,
            'there is no unique constraint matching given keys for referenced table "guests"',
        ),
        (by_nobody, 'null value in column "id" of relation "orders" violates not-null constraint'),
    ],
)
async def test_sqlite_takes_what_postgresql_refuses(
    does: Callable[[Connection, bool], None], said: str, make_engine: MakeEngine
) -> None:
    for right in (True, False):
        lite = create_async_engine("sqlite+aiosqlite://")
        async with lite.begin() as connection:
            await connection.run_sync(does, right)
        await lite.dispose()
    async with make_engine().connect() as connection:
        await connection.run_sync(does, True)
        await connection.rollback()
        with pytest.raises(DBAPIError, match=re.escape(said)):
            await connection.run_sync(does, False)


async def test_sqlite_takes_a_time_with_a_zone_for_a_column_without_and_asyncpg_refuses_it(
    make_engine: MakeEngine,
) -> None:
    metadata = MetaData()
    orders = Table("orders", metadata, Column("created", DateTime))

    async def insert(engine: AsyncEngine) -> None:
        async with engine.begin() as connection:
            await connection.run_sync(metadata.create_all)
            await connection.execute(orders.insert(), {"created": datetime.now(UTC)})

    await insert(make_engine("sqlite+aiosqlite://"))
    with pytest.raises(DBAPIError, match="can't subtract offset-naive and offset-aware"):
        await insert(make_engine())


def test_sqlite_does_not_mind_a_second_event_loop(tmp_path: Path) -> None:
    engine = create_async_engine(f"sqlite+aiosqlite:///{tmp_path / 'shop'}")

    async def ask() -> object:
        async with engine.connect() as connection:
            return await connection.scalar(text("SELECT 1"))

    assert [asyncio.run(ask()), asyncio.run(ask())] == [1, 1]
    asyncio.run(engine.dispose())
