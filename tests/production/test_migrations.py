"""What the page on migrations says beyond what its listings print."""

import asyncio
import contextlib
import io
import logging
import shutil
import socket
import subprocess
import sys
from collections.abc import Iterator
from configparser import InterpolationSyntaxError
from dataclasses import dataclass
from enum import Enum as PythonEnum
from pathlib import Path

import pytest
import uvicorn
from alembic import command
from alembic.config import Config
from alembic.migration import MigrationContext
from alembic.util import CommandError
from sqlalchemy import Column, Connection, Enum, Integer, MetaData, Table, Text, make_url, text
from sqlalchemy.exc import DBAPIError, MissingGreenlet, ProgrammingError
from sqlalchemy.ext.asyncio import AsyncConnection
from sqlmodel import Field, SQLModel

from tests.pools import MakeEngine, both_drivers, engine_for
from tests.testing.readers import run_source
from tests.versions import IS_2_0
from tests.waiting import eventually, wait_until
from tools.paths import SNIPPETS
from tools.postgres import free_port

STEP = SNIPPETS / "production" / "migrations" / "step"
BLOCKED = text("SELECT count(*) FROM pg_stat_activity WHERE :pid = ANY (pg_blocking_pids(pid))")
PID = text("SELECT pg_backend_pid()")
TWO_OF_ONE = "SELECT 'longjing' AS drink FROM generate_series(1, 2)"
UNIQUE = "'one', 'orders', ['drink'], unique=True, postgresql_concurrently=True"


@dataclass
class Project:
    """A folder as `alembic init -t async` makes it, for the test's database."""

    config: Config
    folder: Path
    revisions: int = 0

    def revise(self, *statements: str) -> None:
        """Add a revision that does this."""
        number = self.revisions = self.revisions + 1
        before = f"{number - 1:04}" if number > 1 else None
        body = "\n    ".join(statements)
        source = (
            f"from alembic import op\nrevision = '{number:04}'\ndown_revision = {before!r}\n"
            f"def upgrade():\n    {body}\n"
        )
        (self.folder / "versions" / f"{number:04}.py").write_text(source, "utf-8")

    async def upgrade(self) -> None:
        """Run them as `lifespan` may."""
        await asyncio.to_thread(command.upgrade, self.config, "head")


@pytest.fixture
def project(tmp_path: Path, database_url: str) -> Iterator[Project]:
    config = Config(str(tmp_path / "alembic.ini"))
    folder = tmp_path / "migrations"
    with contextlib.redirect_stdout(io.StringIO()):
        command.init(config, str(folder), template="async")
    config.set_main_option("sqlalchemy.url", database_url.replace("%", "%%"))
    with keep_logging():
        yield Project(config, folder)


@contextlib.contextmanager
def keep_logging() -> Iterator[None]:
    """Put loggers back as they were: `fileConfig` changes them for the whole process."""
    root = logging.getLogger()
    handlers, level = root.handlers[:], root.level
    loggers = [
        each for each in root.manager.loggerDict.values() if isinstance(each, logging.Logger)
    ]
    disabled = [each.disabled for each in loggers]
    levels = [each.level for each in loggers]
    try:
        yield
    finally:
        root.handlers[:], root.level = handlers, level
        for each, was, its_level in zip(loggers, disabled, levels, strict=True):
            each.disabled = was
            each.setLevel(its_level)


def use_our_env(project: Project, monkeypatch: pytest.MonkeyPatch, database_url: str) -> None:
    """Take the page's `env.py`, with the application beside it."""
    shutil.copy(STEP / "env.py", project.folder)
    shutil.copy(STEP / "shop.py", project.folder.parent)
    monkeypatch.syspath_prepend(project.folder.parent)
    monkeypatch.delitem(sys.modules, "shop", raising=False)
    monkeypatch.setenv("DATABASE_URL", database_url)
    monkeypatch.setenv("SHOP_SCHEMA", "public")


def configure(project: Project, **options: object) -> None:
    """Add this to the template's `context.configure()`."""
    env = project.folder / "env.py"
    source = env.read_text("utf-8")
    assert "(connection=" in source
    told = "".join(f"{name}={value!r}, " for name, value in options.items())
    env.write_text(source.replace("(connection=", f"({told}connection="), "utf-8")


async def version(watcher: AsyncConnection) -> object:
    return await watcher.scalar(text("SELECT version_num FROM alembic_version"))


async def test_a_task_in_env_migrates_nothing_and_upgrade_says_nothing(
    project: Project, watcher: AsyncConnection
) -> None:
    project.revise("op.execute('CREATE TABLE menu (drink text)')")
    env = project.folder / "env.py"
    source = env.read_text("utf-8")
    assert "    asyncio.run(run_async_migrations())" in source
    later = "    config.attributes['tasks'].append(asyncio.create_task(run_async_migrations()))"
    env.write_text(source.replace("    asyncio.run(run_async_migrations())", later), "utf-8")
    tasks: list[asyncio.Task[None]] = project.config.attributes.setdefault("tasks", [])
    command.upgrade(project.config, "head")
    (task,) = tasks
    with pytest.raises(AttributeError, match="'NoneType' object has no attribute 'configure'"):
        await task
    assert await watcher.scalar(text("SELECT to_regclass('menu')")) is None


IN_TESTS = """
import pytest, pytest_asyncio
from alembic import command
from alembic.config import Config

def upgrade():
    command.upgrade(Config("alembic.ini"), "head")

@pytest_asyncio.fixture(scope="session")
async def loop_of_all(): yield

@pytest.fixture(scope="session")
def plain(loop_of_all): upgrade()

@pytest_asyncio.fixture(scope="session")
async def within(): upgrade()

def test_plain(loop_of_all): upgrade()

async def test_plain_fixture(plain): pass

async def test_async_fixture(within): pass

async def test_async(): upgrade()
"""
ONE_LOOP = """[tool.pytest.ini_options]
asyncio_mode = "auto"
asyncio_default_fixture_loop_scope = "session"
asyncio_default_test_loop_scope = "session"
"""


def test_a_plain_test_or_fixture_upgrades_and_an_async_one_is_refused(
    project: Project, database_url: str
) -> None:
    project.revise("op.execute('CREATE TABLE menu (drink text)')")
    ini = project.folder.parent / "alembic.ini"
    doubled = database_url.replace("%", "%%")
    source = ini.read_text("utf-8").replace("driver://user:pass@localhost/dbname", doubled)
    ini.write_text(source, "utf-8")
    ran = run_source(IN_TESTS, ini.parent, database_url, "--tb=no", "-v", settings=ONE_LOOP)
    for passed in ("test_plain", "test_plain_fixture"):
        assert f"::{passed} PASSED" in ran.stdout
    refused = "asyncio.run() cannot be called from a running event loop"
    assert f"FAILED test_it.py::test_async - RuntimeError: {refused}" in ran.stdout
    assert f"ERROR test_it.py::test_async_fixture - RuntimeError: {refused}" in ran.stdout


@pytest.mark.parametrize("ours", [False, True])
async def test_an_engine_in_the_attributes_is_passed_over_by_the_template_and_our_env(
    ours: bool,
    project: Project,
    make_engine: MakeEngine,
    watcher: AsyncConnection,
    monkeypatch: pytest.MonkeyPatch,
    database_url: str,
) -> None:
    if ours:
        use_our_env(project, monkeypatch, database_url)
    nowhere = f"postgresql+asyncpg://127.0.0.1:{free_port()}/tests"
    project.config.attributes["connection"] = make_engine(nowhere)  # as pytest-alembic does
    project.revise("pass")
    await project.upgrade()
    assert await version(watcher) == "0001"


# The template


def test_a_percent_sign_in_the_url_is_doubled(tmp_path: Path) -> None:
    file = tmp_path / "alembic.ini"
    file.write_text("[alembic]\nsqlalchemy.url = postgresql+asyncpg://tea:a%40b@db/tea\n", "utf-8")
    with pytest.raises(
        InterpolationSyntaxError, match=r"'%' must be followed by '%' or '\(', found"
    ):
        Config(str(file)).get_main_option("sqlalchemy.url")
    config = Config()
    with pytest.raises(ValueError, match=r"invalid interpolation syntax in '.*'"):
        config.set_main_option("sqlalchemy.url", "postgresql+asyncpg://tea:a%40b@db/tea")
    config.set_main_option("sqlalchemy.url", "postgresql+asyncpg://tea:a%%40b@db/tea")
    assert config.get_main_option("sqlalchemy.url") == "postgresql+asyncpg://tea:a%40b@db/tea"


async def test_all_revisions_are_one_transaction_unless_told_otherwise(
    project: Project, watcher: AsyncConnection
) -> None:
    project.revise("op.execute('CREATE TABLE orders (drink text)')")
    project.revise("op.execute('SELECT 1 / 0')")
    with pytest.raises(DBAPIError, match="division by zero"):
        await project.upgrade()
    assert await watcher.scalar(text("SELECT to_regclass('alembic_version')")) is None
    configure(project, transaction_per_migration=True)
    with pytest.raises(DBAPIError, match="division by zero"):
        await project.upgrade()
    assert await version(watcher) == "0001"


async def test_a_set_within_the_transaction_of_alembic_does_no_harm(
    project: Project, watcher: AsyncConnection
) -> None:
    env = project.folder / "env.py"
    begin, set_first = (
        "    context.run_migrations()\n\n\nasync",
        (
            "    connection.exec_driver_sql(\"SET lock_timeout = '2s'\")\n"
            "        context.run_migrations()\n\n\nasync"
        ),
    )
    assert begin in env.read_text("utf-8")
    env.write_text(env.read_text("utf-8").replace(begin, set_first), "utf-8")
    project.revise("op.execute('CREATE TABLE orders (drink text)')")
    await project.upgrade()
    assert await version(watcher) == "0001"


async def test_the_former_release_does_not_know_the_revision(project: Project) -> None:
    project.revise("pass")
    project.revise("pass")
    await project.upgrade()
    (project.folder / "versions" / "0002.py").unlink()
    with pytest.raises(CommandError, match="Can't locate revision identified by '0002'"):
        await project.upgrade()


# Beside the application


async def test_in_the_loop_a_coroutine_was_never_awaited(project: Project) -> None:
    with (
        pytest.warns(RuntimeWarning, match="'run_async_migrations' was never awaited"),
        pytest.raises(RuntimeError, match="cannot be called from a running event loop"),
    ):
        command.upgrade(project.config, "head")


async def test_two_upgrades_of_an_empty_database_meet_at_the_table_of_versions(
    project: Project, make_engine: MakeEngine, watcher: AsyncConnection
) -> None:
    project.revise("op.execute('SELECT 1')")
    async with make_engine().connect() as other, other.begin() as theirs:
        await other.execute(text("CREATE TABLE alembic_version (version_num VARCHAR(32))"))
        pid = await other.scalar(PID)
        ours = asyncio.create_task(project.upgrade())
        await eventually("ours waits for theirs", lambda: watcher.scalar(BLOCKED, {"pid": pid}))
        await theirs.commit()
        with pytest.raises(DBAPIError, match="pg_type_typname_nsp_index") as caught:
            await ours
    assert "CREATE TABLE alembic_version" in str(caught.value)


@pytest.mark.parametrize(
    ("change", "said"),
    [
        ("ALTER TABLE orders ADD COLUMN size text", 'column "size" of relation "orders" already'),
        ("CREATE TABLE cups (size text)", "pg_type_typname_nsp_index"),
        ("UPDATE orders SET drink = 'oolong'", "expected to match one row when updating '0001'"),
    ],
)
async def test_two_upgrades_of_a_database_with_tables_meet_at_the_first_change(
    change: str, said: str, project: Project, make_engine: MakeEngine, watcher: AsyncConnection
) -> None:
    await watcher.execute(text("CREATE TABLE orders AS SELECT 'longjing' AS drink"))
    project.revise("pass")
    await project.upgrade()
    project.revise(f'op.execute("{change}")')
    async with make_engine().connect() as other, other.begin() as theirs:
        await other.execute(text(change))
        pid = await other.scalar(PID)
        ours = asyncio.create_task(project.upgrade())
        await eventually("ours waits for theirs", lambda: watcher.scalar(BLOCKED, {"pid": pid}))
        await other.execute(text("UPDATE alembic_version SET version_num = '0002'"))
        await theirs.commit()
        with pytest.raises((DBAPIError, CommandError), match=said):
            await ours


async def test_a_table_that_create_all_made_already_exists_for_the_migration(
    project: Project, make_engine: MakeEngine
) -> None:
    metadata = MetaData()
    Table("orders", metadata, Column("drink", Text))
    async with make_engine().begin() as connection:
        await connection.run_sync(metadata.create_all)
    project.revise("import sqlalchemy as sa", "op.create_table('orders', sa.Column('id', sa.Text))")
    with pytest.raises(ProgrammingError, match='relation "orders" already exists'):
        await project.upgrade()


async def test_two_upgrades_that_read_a_table_and_then_change_it_are_a_deadlock(
    project: Project, make_engine: MakeEngine, watcher: AsyncConnection
) -> None:
    await watcher.execute(text("CREATE TABLE orders (drink text)"))
    read, add = "SELECT * FROM orders", "ALTER TABLE orders ADD COLUMN size text"
    project.revise(f"op.execute('{read}')", f"op.execute('{add}')")
    async with make_engine().begin() as other:
        await other.execute(text(read))
        pid = await other.scalar(PID)
        ours = asyncio.create_task(project.upgrade())
        await eventually("ours waits for theirs", lambda: watcher.scalar(BLOCKED, {"pid": pid}))
        theirs = asyncio.create_task(other.execute(text(add)))
        ends = await asyncio.gather(ours, theirs, return_exceptions=True)
    assert "deadlock detected" in str([end for end in ends if isinstance(end, DBAPIError)])


@pytest.mark.parametrize("each", [False, True])
async def test_a_request_and_an_upgrade_of_two_tables_are_a_deadlock_in_one_transaction(
    each: bool, project: Project, make_engine: MakeEngine, watcher: AsyncConnection
) -> None:
    for table in "orders", "guests":
        await watcher.execute(text(f"CREATE TABLE {table} (name text)"))
        project.revise(f"op.execute('ALTER TABLE {table} ADD COLUMN size text')")
    configure(project, transaction_per_migration=each)
    async with make_engine().begin() as request:
        await request.execute(text("SELECT * FROM guests"))
        pid = await request.scalar(PID)
        upgrade = asyncio.create_task(project.upgrade())
        await eventually("it waits", lambda: watcher.scalar(BLOCKED, {"pid": pid}))
        reading = asyncio.create_task(request.execute(text("SELECT * FROM orders")))
        (read,) = await asyncio.gather(reading, return_exceptions=True)
        if each:
            assert not isinstance(read, Exception)
    (ended,) = await asyncio.gather(upgrade, return_exceptions=True)
    assert ("deadlock detected" in f"{read} {ended}") is not each


async def test_create_all_does_not_add_a_column(
    make_engine: MakeEngine, watcher: AsyncConnection
) -> None:
    await watcher.execute(text("CREATE TABLE orders (drink text)"))
    metadata = MetaData()
    Table("orders", metadata, Column("drink", Text), Column("price", Integer))
    async with make_engine().begin() as connection:
        await connection.run_sync(metadata.create_all)
        found = await connection.execute(text("SELECT * FROM orders"))
        assert list(found.keys()) == ["drink"]


async def test_a_migration_in_a_thread_leaves_the_loop_to_others(
    project: Project, make_engine: MakeEngine, watcher: AsyncConnection
) -> None:
    await watcher.execute(text("CREATE TABLE orders (drink text)"))
    project.revise("op.execute('ALTER TABLE orders ADD price int')")
    async with make_engine().connect() as reader:
        pid = await reader.scalar(PID)
        await reader.execute(text("SELECT * FROM orders"))
        migrating = asyncio.create_task(project.upgrade())

        async def waits() -> bool:
            return bool(await watcher.scalar(BLOCKED, {"pid": pid}))

        await eventually("the migration waits while this loop runs", waits)
    await migrating
    assert await version(watcher) == "0001"


WAITING = """
import asyncio, contextlib, pathlib

@contextlib.asynccontextmanager
async def lifespan(app):
    pathlib.Path("begun").touch()
    while not pathlib.Path("go_on").exists():
        await asyncio.sleep(0.01)
    yield

import fastapi
app = fastapi.FastAPI(lifespan=lifespan)
"""


def answers(port: int) -> bool:
    with contextlib.suppress(ConnectionRefusedError):
        socket.create_connection(("127.0.0.1", port)).close()
        return True
    return False


@pytest.mark.parametrize(
    ("server", "listens"),
    [
        ("uvicorn shop:app --port {}", False),
        ("uvicorn shop:app --workers 2 --port {}", False),
        ("gunicorn shop:app --worker-class uvicorn_worker.UvicornWorker --bind 127.0.0.1:{}", True),
    ],
)
def test_while_lifespan_has_not_yielded_the_port_refuses_but_not_that_of_gunicorn(
    server: str, listens: bool, tmp_path: Path
) -> None:
    (tmp_path / "shop.py").write_text(WAITING, "utf-8")
    port = free_port()
    words = [sys.executable, "-m", *server.format(port).split()]
    with subprocess.Popen(words, cwd=tmp_path, stderr=subprocess.DEVNULL) as started:
        try:
            wait_until("lifespan has begun", (tmp_path / "begun").exists)
            assert answers(port) == listens
            (tmp_path / "go_on").touch()
            wait_until("the server listens", lambda: answers(port))
        finally:
            started.terminate()


async def test_the_template_disables_the_loggers_of_uvicorn_too_but_not_those_it_names(
    project: Project, watcher: AsyncConnection
) -> None:
    logger, named = logging.getLogger("uvicorn.error"), logging.getLogger("sqlalchemy.engine")
    logger.disabled = named.disabled = False
    await project.upgrade()
    assert logger.disabled
    assert not named.disabled


async def test_our_env_keeps_the_loggers_of_uvicorn_which_gives_the_root_no_handler(
    project: Project, watcher: AsyncConnection, monkeypatch: pytest.MonkeyPatch, database_url: str
) -> None:
    use_our_env(project, monkeypatch, database_url)
    assert "root" not in uvicorn.config.LOGGING_CONFIG["loggers"]
    logging.getLogger().handlers.clear()
    logger = logging.getLogger("uvicorn.error")
    logger.disabled = False
    await project.upgrade()
    assert logging.getLogger().handlers  # so fileConfig has been called
    assert not logger.disabled


async def test_after_file_config_a_logger_with_a_level_of_its_own_is_heard(
    project: Project, watcher: AsyncConnection
) -> None:
    env = project.folder / "env.py"
    call = "fileConfig(config.config_file_name"
    source = env.read_text("utf-8").replace(call, f"{call}, disable_existing_loggers=False")
    env.write_text(source, "utf-8")
    own, other = logging.getLogger("tea.own"), logging.getLogger("tea.other")
    own.setLevel("INFO")
    await project.upgrade()
    assert own.isEnabledFor(logging.INFO)
    assert not other.isEnabledFor(logging.INFO)


# Locks


async def test_our_env_takes_asyncpg_and_not_psycopg(
    project: Project, monkeypatch: pytest.MonkeyPatch, database_url: str
) -> None:
    psycopg = make_url(database_url).set(drivername="postgresql+psycopg")
    use_our_env(project, monkeypatch, psycopg.render_as_string(hide_password=False))
    with pytest.raises(DBAPIError, match='invalid connection option "server_settings"'):
        await project.upgrade()


async def test_an_env_with_a_synchronous_engine_migrates_too(
    tmp_path: Path, database_url: str, watcher: AsyncConnection
) -> None:
    config, folder = Config(str(tmp_path / "alembic.ini")), tmp_path / "migrations"
    with contextlib.redirect_stdout(io.StringIO()):
        command.init(config, str(folder))  # the template without `-t async`
    synchronous = database_url.replace("asyncpg", "psycopg", 1)
    config.set_main_option("sqlalchemy.url", synchronous.replace("%", "%%"))
    project = Project(config, folder)
    project.revise("op.execute('CREATE TABLE orders (drink text)')")
    with keep_logging():
        await project.upgrade()
    assert await version(watcher) == "0001"


@pytest.mark.filterwarnings("ignore:coroutine 'connect' was never awaited")
def test_the_default_template_with_the_url_of_asyncpg_is_a_missing_greenlet(
    tmp_path: Path, database_url: str
) -> None:
    config = Config(str(tmp_path / "alembic.ini"))
    with contextlib.redirect_stdout(io.StringIO()):
        command.init(config, str(tmp_path / "migrations"))
    with keep_logging():
        config.set_main_option("sqlalchemy.url", database_url.replace("%", "%%"))
        with pytest.raises(MissingGreenlet, match="greenlet_spawn has not been called"):
            command.upgrade(config, "head")
        config.set_main_option(
            "sqlalchemy.url", database_url.replace("asyncpg", "psycopg", 1).replace("%", "%%")
        )
        command.upgrade(config, "head")


async def test_our_env_does_not_lift_transaction_timeout(
    project: Project, watcher: AsyncConnection, monkeypatch: pytest.MonkeyPatch, database_url: str
) -> None:
    if not await watcher.scalar(text("SELECT current_setting('transaction_timeout', true)")):
        return  # PostgreSQL 16 does not know it
    use_our_env(project, monkeypatch, database_url)
    shop = project.folder.parent / "shop.py"
    shop.write_text(f"{shop.read_text('utf-8')}\nSETTINGS['transaction_timeout'] = '1h'\n", "utf-8")
    project.revise(SHOW.format("seen", "transaction_timeout"))
    await project.upgrade()
    assert await watcher.scalar(text("SELECT value FROM seen")) == "1h"


async def test_our_env_gives_up_after_its_lock_timeout_and_keeps_earlier_revisions(
    project: Project,
    make_engine: MakeEngine,
    watcher: AsyncConnection,
    monkeypatch: pytest.MonkeyPatch,
    database_url: str,
) -> None:
    use_our_env(project, monkeypatch, database_url)
    await watcher.execute(text("CREATE TABLE guests (name text)"))
    project.revise("op.execute('CREATE TABLE orders (id serial primary key, tea text)')")
    project.revise("op.execute('ALTER TABLE guests ADD seat int')")
    async with make_engine().connect() as reader:
        await reader.execute(text("SELECT * FROM guests"))
        with pytest.raises(DBAPIError, match="due to lock timeout") as caught:
            await project.upgrade()
    assert getattr(caught.value.orig, "sqlstate", None) == "55P03"
    assert await version(watcher) == "0001"
    await project.upgrade()  # the lock of the first attempt is gone with its connection
    assert await version(watcher) == "0002"


SHOW = "op.execute(\"CREATE TABLE {} AS SELECT current_setting('{}') AS value\")"


async def test_our_env_lifts_the_other_limits_of_the_application(
    project: Project, watcher: AsyncConnection, monkeypatch: pytest.MonkeyPatch, database_url: str
) -> None:
    use_our_env(project, monkeypatch, database_url)
    limits = ("statement_timeout", "idle_in_transaction_session_timeout", "idle_session_timeout")
    shop = project.folder.parent / "shop.py"
    settings = f"{shop.read_text('utf-8')}\nSETTINGS |= dict.fromkeys({limits}, '60s')\n"
    shop.write_text(settings, "utf-8")
    for name in limits:
        project.revise(SHOW.format(f"seen_{name}", name))
    await project.upgrade()
    for name in limits:
        assert await watcher.scalar(text(f"SELECT value FROM seen_{name}")) == "0", name


async def test_the_lock_timeout_of_our_env_cuts_off_an_index_made_concurrently(
    project: Project,
    make_engine: MakeEngine,
    watcher: AsyncConnection,
    monkeypatch: pytest.MonkeyPatch,
    database_url: str,
) -> None:
    use_our_env(project, monkeypatch, database_url)
    await watcher.execute(text("CREATE TABLE orders (id serial primary key, tea text)"))
    make = "    op.create_index('teas', 'orders', ['tea'], postgresql_concurrently=True)"
    project.revise("with op.get_context().autocommit_block():", make)
    async with make_engine().connect() as reader:
        await reader.execute(text("SELECT * FROM orders"))
        with pytest.raises(DBAPIError, match="due to lock timeout"):
            await project.upgrade()
    valid = text("SELECT indisvalid FROM pg_index WHERE indexrelid = 'teas'::regclass")
    assert await watcher.scalar(valid) is False


@pytest.mark.parametrize(("last", "afterwards"), [("RESET lock_timeout", "2s"), ("SELECT 1", "0")])
async def test_a_limit_that_a_block_lifted_is_back_after_reset(
    last: str,
    afterwards: str,
    project: Project,
    watcher: AsyncConnection,
    monkeypatch: pytest.MonkeyPatch,
    database_url: str,
) -> None:
    use_our_env(project, monkeypatch, database_url)
    project.revise("op.execute('CREATE TABLE orders (id serial primary key, tea text)')")
    project.revise(
        "with op.get_context().autocommit_block():",
        "    op.execute('SET lock_timeout = 0')",
        "    op.create_index('teas', 'orders', ['tea'], postgresql_concurrently=True)",
        f"    op.execute('{last}')",
    )
    project.revise(SHOW.format("seen", "lock_timeout"))
    await project.upgrade()
    assert await watcher.scalar(text("SELECT value FROM seen")) == afterwards


async def test_with_the_lock_on_the_migrating_connection_postgresql_finds_a_deadlock(
    make_engine: MakeEngine, watcher: AsyncConnection
) -> None:
    await watcher.execute(text("CREATE TABLE orders (drink text)"))
    engine = make_engine(isolation_level="AUTOCOMMIT")
    lock = text("SELECT pg_advisory_lock(1)")
    async with engine.connect() as first, engine.connect() as second:
        pid = await first.scalar(PID)
        await first.execute(lock)
        waiting = asyncio.create_task(second.execute(lock))

        async def waits() -> bool:
            return bool(await watcher.scalar(BLOCKED, {"pid": pid}))

        await eventually("the second one waits", waits)
        index = asyncio.create_task(
            first.execute(text("CREATE INDEX CONCURRENTLY teas ON orders (drink)"))
        )
        await asyncio.wait([waiting, index], return_when=asyncio.FIRST_COMPLETED)
        if waiting.done():  # PostgreSQL chose this one to fail, and the index goes on
            await index
        await first.execute(text("SELECT pg_advisory_unlock_all()"))
        ends = await asyncio.gather(waiting, index, return_exceptions=True)
    assert "deadlock detected" in str([end for end in ends if isinstance(end, DBAPIError)])


async def test_an_autocommit_block_commits_what_came_before_it(
    project: Project, watcher: AsyncConnection
) -> None:
    project.revise(
        f'op.execute("CREATE TABLE orders AS {TWO_OF_ONE}")',
        "with op.get_context().autocommit_block():",
        f"    op.create_index({UNIQUE})",
    )
    with pytest.raises(DBAPIError, match="could not create unique index"):
        await project.upgrade()
    assert await watcher.scalar(text("SELECT count(*) FROM orders")) == 2
    assert await version(watcher) is None
    valid = text("SELECT indisvalid FROM pg_index WHERE indexrelid = 'one'::regclass")
    assert await watcher.scalar(valid) is False


async def test_an_autocommit_block_commits_earlier_revisions_too_by_default(
    project: Project, watcher: AsyncConnection
) -> None:
    project.revise("op.execute('CREATE TABLE orders (drink text)')")
    project.revise(
        "with op.get_context().autocommit_block():",
        "    op.execute('SELECT 1')",
        "op.execute('SELECT 1 / 0')",
    )
    with pytest.raises(DBAPIError, match="division by zero"):
        await project.upgrade()
    assert await version(watcher) == "0001"


async def test_an_autocommit_block_in_a_transaction_from_outside_is_an_assertion(
    project: Project, make_engine: MakeEngine
) -> None:
    def block(connection: Connection) -> None:
        with MigrationContext.configure(connection).autocommit_block():
            pass

    async with make_engine().begin() as connection:
        with pytest.raises(AssertionError, match=r"^$"):
            await connection.run_sync(block)


async def test_sql_before_configure_makes_an_autocommit_block_an_assertion(
    project: Project,
) -> None:
    project.revise(
        "with op.get_context().autocommit_block():",
        "    op.execute('SELECT 1')",
    )
    env = project.folder / "env.py"
    source = env.read_text("utf-8")
    head = "    context.configure(connection=connection,"
    assert head in source
    early = "    connection.exec_driver_sql('SELECT 1')\n"
    env.write_text(source.replace(head, early + head), "utf-8")
    with pytest.raises(AssertionError, match=r"^$"):
        await project.upgrade()
    env.write_text(source.replace(head, early + "    connection.commit()\n" + head), "utf-8")
    await project.upgrade()


async def test_an_index_that_failed_is_dropped_by_the_next_attempt(
    project: Project, watcher: AsyncConnection
) -> None:
    await watcher.execute(text(f"CREATE TABLE orders AS {TWO_OF_ONE}"))
    project.revise(
        "with op.get_context().autocommit_block():",
        "    op.drop_index('one', postgresql_concurrently=True, if_exists=True)",
        f"    op.create_index({UNIQUE})",
    )
    with pytest.raises(DBAPIError, match="could not create unique index"):
        await project.upgrade()
    await watcher.execute(text("TRUNCATE orders"))
    await project.upgrade()
    valid = text("SELECT indisvalid FROM pg_index WHERE indexrelid = 'one'::regclass")
    assert await watcher.scalar(valid) is True


@both_drivers
async def test_create_all_is_rolled_back_with_a_connection_that_did_not_commit(
    make_engine: MakeEngine, database_url: str, driver: str
) -> None:
    engine = engine_for(make_engine, database_url, driver)
    metadata = MetaData()
    Table("orders", metadata, Column("drink", Text))

    async def order() -> None:
        async with engine.begin() as connection:
            await connection.execute(text("INSERT INTO orders VALUES ('oolong')"))

    async with engine.connect() as connection:
        await connection.run_sync(metadata.create_all)
    with pytest.raises(ProgrammingError, match='relation "orders" does not exist') as caught:
        await order()
    cause = caught.value.__cause__
    original = cause.__cause__ if cause and driver == "asyncpg" else cause
    classes = {"asyncpg": "UndefinedTableError", "psycopg": "UndefinedTable"}
    assert type(original).__name__ == classes[driver]
    assert getattr(caught.value.orig, "sqlstate", None) == "42P01"
    async with engine.begin() as connection:
        await connection.run_sync(MetaData().create_all)  # no model is imported
    with pytest.raises(ProgrammingError, match='relation "orders" does not exist'):
        await order()
    async with engine.begin() as connection:
        await connection.run_sync(metadata.create_all)
    await order()
    async with engine.connect() as connection:
        place = await connection.execute(
            text("SELECT current_database(), current_schemas(false), pg_postmaster_start_time()")
        )
        assert tuple(place.one())[:2] == (engine.url.database, ["public"])


async def test_a_schema_of_the_search_path_without_usage_is_passed_over(
    make_engine: MakeEngine,
) -> None:
    async with make_engine().connect() as connection:
        for statement in (
            "CREATE SCHEMA kitchen",
            "CREATE TABLE kitchen.orders (drink text)",
            "GRANT SELECT ON kitchen.orders TO pg_monitor",
            "SET search_path = kitchen, public",
            "SELECT * FROM orders",
            "SET ROLE pg_monitor",
        ):
            await connection.execute(text(statement))
        assert await connection.scalar(text("SELECT current_schemas(false)")) == ["public"]
        with pytest.raises(ProgrammingError, match='relation "orders" does not exist'):
            await connection.execute(text("SELECT * FROM orders"))


async def test_a_table_with_capitals_in_its_name_is_not_found_without_quotes(
    make_engine: MakeEngine,
) -> None:
    metadata = MetaData()
    Table("Orders", metadata, Column("drink", Text))
    async with make_engine().begin() as connection:
        await connection.run_sync(metadata.create_all)
        await connection.execute(text('SELECT * FROM "Orders"'))
        with pytest.raises(ProgrammingError, match='relation "orders" does not exist'):
            await connection.execute(text("SELECT * FROM Orders"))


# Autogenerate

WITH_TABLE = "import sqlalchemy as sa\ntarget_metadata = sa.MetaData()\n" + (
    "sa.Table('menu', target_metadata, sa.Column('drink', sa.Text))"
)
WITHOUT_TABLE = "import sqlalchemy as sa\ntarget_metadata = sa.MetaData()"


@pytest.mark.parametrize(
    ("metadata", "exists", "written"),
    [
        pytest.param(WITHOUT_TABLE, False, "pass", id="not imported"),
        pytest.param(WITHOUT_TABLE, True, "op.drop_table('menu')", id="not imported, but made"),
        pytest.param(WITH_TABLE, True, "pass", id="made already"),
        pytest.param(WITH_TABLE, False, "op.create_table('menu'", id="imported, and not made"),
    ],
)
async def test_autogenerate_compares_what_env_imports_with_this_database(
    metadata: str, exists: bool, written: str, project: Project, watcher: AsyncConnection
) -> None:
    if exists:
        await watcher.execute(text("CREATE TABLE menu (drink text)"))
    await asyncio.to_thread(generate, project, metadata)
    assert f"\n    {written}" in read_upgrade(project)


def generate(project: Project, metadata: str | None = None) -> None:
    """Let Alembic write a revision for these tables."""
    if metadata:
        env = project.folder / "env.py"
        source = env.read_text("utf-8")
        assert "target_metadata = None" in source
        env.write_text(source.replace("target_metadata = None", metadata), "utf-8")
    with contextlib.redirect_stdout(io.StringIO()):
        command.revision(project.config, autogenerate=True)


def read_upgrade(project: Project) -> str:
    """The function `upgrade` of the one revision there is."""
    (revision,) = (project.folder / "versions").glob("*.py")
    return revision.read_text("utf-8").partition("def upgrade()")[2].partition("\ndef ")[0]


@pytest.mark.parametrize(
    ("all_schemas", "written"), [(False, "op.create_table('menu'"), (True, "pass")]
)
async def test_autogenerate_sees_the_default_schema_unless_told_otherwise(
    all_schemas: bool, written: str, project: Project, watcher: AsyncConnection
) -> None:
    await watcher.execute(text("CREATE SCHEMA kitchen"))
    await watcher.execute(text("CREATE TABLE kitchen.menu (drink text)"))
    configure(project, include_schemas=all_schemas)
    elsewhere = WITH_TABLE.replace("sa.MetaData()", "sa.MetaData(schema='kitchen')")
    await asyncio.to_thread(generate, project, elsewhere)
    assert f"\n    {written}" in read_upgrade(project)


async def test_with_all_schemas_autogenerate_drops_the_table_of_a_model_that_names_none(
    project: Project, watcher: AsyncConnection
) -> None:
    await watcher.execute(text("CREATE SCHEMA kitchen"))
    for table in "menu", "of_others":
        await watcher.execute(text(f"CREATE TABLE kitchen.{table} (drink text)"))
    configure(project, include_schemas=True)
    await asyncio.to_thread(generate, project, WITH_TABLE)
    written = read_upgrade(project)
    assert "op.create_table('menu'" in written
    for table in "menu", "of_others":
        assert f"op.drop_table('{table}', schema='kitchen')" in written


async def test_autogenerate_sees_every_schema_of_the_search_path(
    project: Project, watcher: AsyncConnection
) -> None:
    database = await watcher.scalar(text("SELECT current_database()"))
    await watcher.execute(text("CREATE SCHEMA kitchen"))
    for table in "kitchen.teas", "public.menu":
        await watcher.execute(text(f"CREATE TABLE {table} (drink text)"))
    await watcher.execute(text(f"ALTER DATABASE {database} SET search_path = kitchen, public"))
    await asyncio.to_thread(generate, project, WITHOUT_TABLE)
    for table in "teas", "menu":
        assert f"op.drop_table('{table}')" in read_upgrade(project)


def test_autogenerate_without_metadata_or_before_the_upgrade_is_refused(project: Project) -> None:
    with pytest.raises(CommandError, match="does not provide a MetaData object"):
        generate(project)
    generate(project, WITH_TABLE)
    with pytest.raises(CommandError, match="Target database is not up to date"):
        generate(project)


DEFAULTED = """import sqlalchemy as sa
target_metadata = sa.MetaData()
sa.Table("menu", target_metadata, sa.Column(
    "since", sa.DateTime, server_default=sa.func.now(), onupdate=sa.func.now()))
target_metadata.tables["menu"].append_column(sa.Column("left", sa.Integer, default=5))
"""


@pytest.mark.parametrize(("told", "written"), [(False, "pass"), (True, "op.alter_column('menu'")])
async def test_autogenerate_compares_server_defaults_if_told_and_on_update_is_no_part_of_them(
    told: bool, written: str, project: Project, watcher: AsyncConnection
) -> None:
    await watcher.execute(text('CREATE TABLE menu (since timestamp, "left" int)'))
    configure(project, compare_server_default=told)
    await asyncio.to_thread(generate, project, DEFAULTED)
    upgrade = read_upgrade(project)
    assert f"\n    {written}" in upgrade
    assert "onupdate" not in upgrade
    assert "left" not in upgrade


@pytest.mark.parametrize(
    ("kind", "default", "works"),
    [("JSON", "'{}'", False), ("JSON", "'{}'::json", True), ("JSONB", "'{}'", True)],
)
async def test_comparing_the_default_of_json_wants_a_cast_or_jsonb(
    kind: str, default: str, works: bool, project: Project, watcher: AsyncConnection
) -> None:
    await watcher.execute(text(f"CREATE TABLE menu (notes {kind} DEFAULT '{{}}')"))
    configure(project, compare_server_default=True)
    metadata = (
        "import sqlalchemy as sa\nfrom sqlalchemy.dialects.postgresql import JSON, JSONB\n"
        "target_metadata = sa.MetaData()\n"
        f"default = sa.text({default!r})\n"
        f"notes = sa.Column('notes', {kind}, server_default=default)\n"
        "sa.Table('menu', target_metadata, notes)\n"
    )
    if works:
        await asyncio.to_thread(generate, project, metadata)
        assert "\n    pass" in read_upgrade(project)
    else:
        with pytest.raises(ProgrammingError, match="operator does not exist: json = unknown"):
            await asyncio.to_thread(generate, project, metadata)


class Tin(SQLModel, table=True):
    """A model of SQLModel's; each has its place in one `MetaData` for the whole process."""

    name: str = Field(primary_key=True)


SQLMODEL = f"""import sqlalchemy as sa
from {__name__} import Tin
target_metadata = sa.MetaData()
Tin.__table__.to_metadata(target_metadata)
"""


@pytest.mark.parametrize("imported", [False, True])
async def test_a_revision_of_sqlmodel_wants_the_import_in_the_template(
    imported: bool, project: Project
) -> None:
    template = project.folder / "script.py.mako"
    before = "import sqlalchemy as sa\n"
    after = before + "import sqlmodel\n" * imported
    template.write_text(template.read_text("utf-8").replace(before, after), "utf-8")
    await asyncio.to_thread(generate, project, SQLMODEL)
    assert "sqlmodel.sql.sqltypes.AutoString()" in read_upgrade(project)
    if imported:
        await project.upgrade()
    else:
        with pytest.raises(NameError, match="name 'sqlmodel' is not defined"):
            await project.upgrade()


# Enum types

OF_SIZE = "sa.Column('size', sa.Enum('small', name='size'))"
IMPORT = "import sqlalchemy as sa"
MAKE_SIZE = text("CREATE TYPE size AS ENUM ('small')")


async def test_a_second_table_of_an_enum_fails_only_in_a_later_run(
    project: Project, watcher: AsyncConnection
) -> None:
    project.revise(IMPORT, f"op.create_table('orders', {OF_SIZE})")
    project.revise(IMPORT, f"op.create_table('cups', {OF_SIZE})")
    await project.upgrade()
    assert await version(watcher) == "0002"
    await watcher.execute(text("DROP TABLE orders, cups, alembic_version"))
    await watcher.execute(text("DROP TYPE size"))
    await asyncio.to_thread(command.upgrade, project.config, "0001")
    with pytest.raises(ProgrammingError, match='type "size" already exists'):
        await project.upgrade()


async def test_dropping_the_table_leaves_its_enum_type(
    project: Project, watcher: AsyncConnection
) -> None:
    project.revise(IMPORT, f"op.create_table('orders', {OF_SIZE})", "op.drop_table('orders')")
    await project.upgrade()
    assert await watcher.scalar(text("SELECT to_regtype('size')")) is not None


async def test_an_enum_type_is_not_dropped_while_another_table_has_it(
    project: Project, watcher: AsyncConnection
) -> None:
    await watcher.execute(MAKE_SIZE)
    await watcher.execute(text("CREATE TABLE cups (size size)"))
    project.revise(IMPORT, "sa.Enum(name='size').drop(op.get_bind())")
    with pytest.raises(DBAPIError, match="cannot drop type size because other objects depend"):
        await project.upgrade()


@pytest.mark.parametrize("dropped", [False, True])
async def test_a_downgrade_leaves_the_enum_type_unless_it_drops_that_too(
    dropped: bool, project: Project
) -> None:
    project.revise(IMPORT, f"op.create_table('orders', {OF_SIZE})")
    drop = "sa.Enum(name='size').drop(op.get_bind())"
    body = ["import sqlalchemy as sa", "op.drop_table('orders')", *[drop] * dropped]
    with (project.folder / "versions" / "0001.py").open("a", encoding="utf-8") as revision:
        revision.write("def downgrade():\n    " + "\n    ".join(body))
    await project.upgrade()
    await asyncio.to_thread(command.downgrade, project.config, "base")
    if dropped:
        await project.upgrade()
    else:
        with pytest.raises(ProgrammingError, match='type "size" already exists'):
            await project.upgrade()


@both_drivers
async def test_postgresql_refuses_a_value_the_type_lacks_and_sqlalchemy_one_the_class_lacks(
    driver: str, make_engine: MakeEngine, database_url: str
) -> None:
    engine = engine_for(make_engine, database_url, driver)
    size = PythonEnum("size", {"small": "S", "large": "L"})
    orders = Table("orders", MetaData(), Column("size", Enum(size)))
    async with engine.begin() as connection:
        await connection.execute(text("CREATE TYPE size AS ENUM ('small', 'huge')"))
        await connection.execute(text("CREATE TABLE orders (size size)"))
        await connection.execute(text("INSERT INTO orders VALUES ('huge')"))
    for value, name in (size["large"], "large"), ("S", "S"):
        async with engine.connect() as connection:
            with pytest.raises(DBAPIError, match=f'invalid input value for enum size: "{name}"'):
                await connection.execute(orders.insert().values(size=value))
    async with engine.connect() as connection:
        with pytest.raises(LookupError, match="'huge' is not among the defined enum values"):
            (await connection.execute(orders.select())).all()


@both_drivers
async def test_a_type_with_the_values_of_a_python_enum_wants_values_callable(
    driver: str, make_engine: MakeEngine, database_url: str
) -> None:
    engine = engine_for(make_engine, database_url, driver)
    size = PythonEnum("size", {"small": "S", "large": "L"})
    orders = Table("orders", MetaData(), Column("size", Enum(size)))
    by_value = Enum(size, values_callable=lambda size: [each.value for each in size])
    valued = Table("orders", MetaData(), Column("size", by_value))
    async with engine.begin() as connection:
        await connection.execute(text("CREATE TYPE size AS ENUM ('S', 'L')"))
        await connection.execute(text("CREATE TABLE orders (size size)"))
    async with engine.connect() as connection:
        with pytest.raises(DBAPIError, match='invalid input value for enum size: "large"'):
            await connection.execute(orders.insert().values(size=size["large"]))
    async with engine.begin() as connection:
        await connection.execute(valued.insert().values(size=size["large"]))
        assert await connection.scalar(valued.select()) is size["large"]
        with pytest.raises(LookupError, match="'L' is not among the defined enum values"):
            (await connection.execute(orders.select())).all()


async def test_a_table_does_not_look_whether_create_made_its_enum_type(project: Project) -> None:
    create = "sa.Enum('small', name='size').create(op.get_bind(), checkfirst=True)"
    project.revise(IMPORT, create, f"op.create_table('orders', {OF_SIZE})")
    with pytest.raises(ProgrammingError, match='type "size" already exists'):
        await project.upgrade()


WITHOUT_TYPE = (
    IMPORT,
    "from sqlalchemy.dialects import postgresql",
    "size = postgresql.ENUM('small', name='size', create_type=False)",
)
MAKE_ONCE = "size.create(op.get_bind(), checkfirst=True)"
IN_A_TABLE = "op.create_table('orders', sa.Column('size', size))"


@both_drivers
@pytest.mark.parametrize("exists", [False, True])
@pytest.mark.parametrize(
    "use",
    [
        IN_A_TABLE,
        "op.add_column('menu', sa.Column('size', size))",
        "op.alter_column('menu', 'drink', type_=size, postgresql_using='drink::size')",
    ],
)
async def test_the_enum_of_the_dialect_created_by_hand_works_with_and_without_its_type(
    use: str,
    exists: bool,
    driver: str,
    project: Project,
    database_url: str,
    watcher: AsyncConnection,
) -> None:
    url = database_url.replace("asyncpg", driver, 1)
    project.config.set_main_option("sqlalchemy.url", url.replace("%", "%%"))
    await watcher.execute(text("CREATE TABLE menu (drink text)"))
    if exists:
        await watcher.execute(MAKE_SIZE)
    project.revise(*WITHOUT_TYPE, MAKE_ONCE, use)
    await project.upgrade()
    assert await version(watcher) == "0001"


async def test_on_an_empty_database_create_type_false_finds_no_type(project: Project) -> None:
    project.revise(*WITHOUT_TYPE, IN_A_TABLE)
    with pytest.raises(ProgrammingError, match='type "size" does not exist'):
        await project.upgrade()


async def test_create_type_false_of_the_generic_enum_works_from_2_1_on(
    project: Project, watcher: AsyncConnection
) -> None:
    await watcher.execute(MAKE_SIZE)
    size = "sa.Enum('small', name='size', create_type=False)"
    project.revise(IMPORT, f"op.create_table('orders', sa.Column('size', {size}))")
    if IS_2_0:
        with pytest.raises(ProgrammingError, match='type "size" already exists'):
            await project.upgrade()
    else:
        await project.upgrade()


@pytest.mark.parametrize(
    "change",
    [
        f"op.add_column('orders', {OF_SIZE})",
        "op.alter_column('orders', 'drink', type_=sa.Enum('small', name='size'), "
        "postgresql_using='drink::size')",
    ],
)
async def test_neither_add_column_nor_alter_column_makes_an_enum_type(
    change: str, project: Project, watcher: AsyncConnection
) -> None:
    await watcher.execute(text("CREATE TABLE orders (drink text)"))
    project.revise(IMPORT, change)
    with pytest.raises(ProgrammingError, match='type "size" does not exist'):
        await project.upgrade()


ADD_LARGE = "op.execute(\"ALTER TYPE size ADD VALUE 'large'\")"
USE_LARGE = "op.execute(\"SELECT 'large'::size\")"


@pytest.mark.parametrize("again", [False, True])
async def test_a_new_value_outlives_a_revision_that_fails_after_its_block(
    again: bool, project: Project, watcher: AsyncConnection
) -> None:
    await watcher.execute(MAKE_SIZE)
    add = ADD_LARGE.replace("VALUE", "VALUE IF NOT EXISTS") if again else ADD_LARGE
    block = "with op.get_context().autocommit_block():", f"    {add}"
    project.revise(*block, "op.execute('SELECT 1 / 0')")
    with pytest.raises(DBAPIError, match="division by zero"):
        await project.upgrade()
    said = "division by zero" if again else 'enum label "large" already exists'
    with pytest.raises(DBAPIError, match=said):
        await project.upgrade()


async def test_a_new_value_is_usable_in_the_transaction_that_made_the_type_on_18_not_on_16(
    project: Project, watcher: AsyncConnection
) -> None:
    make = "op.execute(\"CREATE TYPE size AS ENUM ('small')\")"
    project.revise(make)
    project.revise(ADD_LARGE)
    project.revise(USE_LARGE)
    major = await watcher.scalar(text("SELECT current_setting('server_version_num')::int / 10000"))
    if major >= 18:
        await project.upgrade()
    elif major <= 16:
        with pytest.raises(DBAPIError, match='unsafe use of new value "large"'):
            await project.upgrade()


@pytest.mark.parametrize(
    ("add", "each", "works"),
    [
        pytest.param([ADD_LARGE], False, False, id="one transaction"),
        pytest.param([ADD_LARGE], True, True, id="transaction per migration"),
        pytest.param(
            ["with op.get_context().autocommit_block():", f"    {ADD_LARGE}"],
            False,
            True,
            id="autocommit block",
        ),
    ],
)
async def test_a_new_value_of_an_enum_can_be_used_once_it_is_committed(
    add: list[str], each: bool, works: bool, project: Project, watcher: AsyncConnection
) -> None:
    await watcher.execute(MAKE_SIZE)
    project.revise(*add)
    project.revise(USE_LARGE)
    configure(project, transaction_per_migration=each)
    if works:
        await project.upgrade()
    else:
        with pytest.raises(DBAPIError, match='unsafe use of new value "large" of enum type'):
            await project.upgrade()


@pytest.mark.parametrize("using", [False, True])
async def test_a_type_that_is_not_cast_automatically_wants_a_using(
    using: bool, project: Project, watcher: AsyncConnection
) -> None:
    await watcher.execute(text("CREATE TABLE orders (tags text)"))
    told = ", postgresql_using='tags::json'" * using
    project.revise(IMPORT, f"op.alter_column('orders', 'tags', type_=sa.JSON(){told})")
    if using:
        await project.upgrade()
    else:
        words = 'column "tags" cannot be cast automatically to type json'
        with pytest.raises(ProgrammingError, match=words):
            await project.upgrade()


@pytest.mark.parametrize("apart", [False, True])
async def test_a_default_is_not_cast_and_has_to_go_before(
    apart: bool, project: Project, watcher: AsyncConnection
) -> None:
    await watcher.execute(text("CREATE TABLE orders (tags text DEFAULT '[]')"))
    told = "type_=sa.JSON(), postgresql_using='tags::json'"
    gone = "server_default=None"
    alter = "op.alter_column('orders', 'tags', {})"
    steps = [gone, told] if apart else [f"{told}, {gone}"]
    project.revise(IMPORT, *map(alter.format, steps))
    if apart:
        await project.upgrade()
    else:
        words = 'default for column "tags" cannot be cast automatically to type json'
        with pytest.raises(ProgrammingError, match=words):
            await project.upgrade()


async def test_autogenerate_does_not_see_a_new_value_of_an_enum(
    project: Project, watcher: AsyncConnection
) -> None:
    await watcher.execute(MAKE_SIZE)
    await watcher.execute(text("CREATE TABLE menu (drink text, size size)"))
    size = "sa.Column('size', sa.Enum('small', 'large', name='size'))"
    metadata = f"{WITH_TABLE}.append_column({size})"
    await asyncio.to_thread(generate, project, metadata)
    assert "\n    pass" in read_upgrade(project)
