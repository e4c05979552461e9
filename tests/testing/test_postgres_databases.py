"""What the page on a PostgreSQL for tests says of a server: copies of databases, settings."""

import asyncio
import os
import shutil
import signal
import subprocess
import tempfile
from collections.abc import Iterator
from pathlib import Path
from secrets import token_hex

import pytest
from sqlalchemy import NullPool, make_url, text
from sqlalchemy.exc import DBAPIError
from sqlalchemy.ext.asyncio import AsyncConnection

from tests.asking import ask
from tests.pools import MakeEngine
from tests.waiting import eventually
from tools.paths import SNIPPETS
from tools.postgres import EmbeddedPostgres, Server, execute
from tools.postgres.binaries import account, find_binaries, within_reach

# Databases from templates


@pytest.fixture
def template(server: Server) -> Iterator[str]:
    """A database to copy; it and its copy are dropped."""
    name = f"guide_template_{token_hex(4)}"
    at = make_url(server.url)
    asyncio.run(execute(at, f"CREATE DATABASE {name}"))
    yield name
    for database in (f"{name}_copy", name):
        asyncio.run(execute(at, f"DROP DATABASE IF EXISTS {database} WITH (FORCE)"))


async def test_create_database_waits_a_while_for_the_template_to_be_left(
    template: str, server: Server, make_engine: MakeEngine, watcher: AsyncConnection
) -> None:
    inside = make_engine(make_url(server.url).set(database=template), poolclass=NullPool)
    async with inside.connect():
        copy = f"CREATE DATABASE {template}_copy TEMPLATE {template}"
        copying = asyncio.create_task(execute(make_url(server.url), copy))

        async def begun() -> bool:
            find = text("SELECT count(*) FROM pg_stat_activity WHERE state='active' AND query=:q")
            return bool(await watcher.scalar(find, {"q": copy}))

        await eventually("the copy has been asked for", begun)
        assert not copying.done()
    await copying


async def test_connections_that_are_there_outlive_allow_connections_false(
    template: str, server: Server, make_engine: MakeEngine, watcher: AsyncConnection
) -> None:
    inside = make_engine(make_url(server.url).set(database=template))
    async with inside.connect():
        pass
    await watcher.execute(text(f"ALTER DATABASE {template} ALLOW_CONNECTIONS false"))
    copy = text(f"CREATE DATABASE {template}_copy TEMPLATE {template}")
    words = f'source database "{template}" is being accessed by other users'
    with pytest.raises(DBAPIError, match=words):
        await watcher.execute(copy)
    end = "SELECT pg_terminate_backend(pid, 10000) FROM pg_stat_activity WHERE datname = :name"
    assert (await watcher.scalars(text(end), {"name": template})).all() == [True]
    await watcher.execute(copy)


async def test_who_is_connected_may_copy_the_database_himself(
    template: str, server: Server, make_engine: MakeEngine
) -> None:
    inside = make_engine(make_url(server.url).set(database=template), isolation_level="AUTOCOMMIT")
    async with inside.connect() as connection:
        await connection.execute(text(f"CREATE DATABASE {template}_copy TEMPLATE {template}"))


async def test_drop_database_refuses_while_somebody_is_connected_and_force_does_not(
    template: str, server: Server, make_engine: MakeEngine, watcher: AsyncConnection
) -> None:
    inside = make_engine(make_url(server.url).set(database=template))
    async with inside.connect():
        pass
    with pytest.raises(DBAPIError, match="is being accessed by other users"):
        await watcher.execute(text(f"DROP DATABASE {template}"))
    await watcher.execute(text(f"DROP DATABASE {template} WITH (FORCE)"))


NOT_YOURS = (
    "permission denied to terminate process|"
    "must be a member of the role whose process is being terminated"  # up to PostgreSQL 15
)


@pytest.mark.parametrize("granted", ["", "pg_signal_backend", "guest"])
async def test_force_ends_connections_of_another_role_given_that_role_or_pg_signal_backend(
    granted: str, template: str, server: Server, make_engine: MakeEngine, roles: list[str]
) -> None:
    owner, guest = roles
    at = make_url(server.url)
    await ask(at, f"ALTER DATABASE {template} OWNER TO {owner}")
    if granted:
        await ask(at, f"GRANT {guest if granted == 'guest' else granted} TO {owner}")
    by_owner = (f"SET ROLE {owner}", f"DROP DATABASE {template} WITH (FORCE)")
    async with make_engine(at.set(username=guest, password=guest, database=template)).connect():
        if granted:
            await ask(at, *by_owner)
        else:
            with pytest.raises(DBAPIError, match=NOT_YOURS):
                await ask(at, *by_owner)


@pytest.fixture
def roles(server: Server, template: str) -> Iterator[list[str]]:
    """Two ordinary roles, whose passwords are their names."""
    names = [f"{template}_{each}" for each in ("owner", "guest")]
    at = make_url(server.url)
    for name in names:
        asyncio.run(execute(at, f"CREATE ROLE {name} LOGIN PASSWORD '{name}'"))
    yield names
    asyncio.run(execute(at, f"DROP DATABASE IF EXISTS {template} WITH (FORCE)"))
    for name in names:
        asyncio.run(execute(at, f"DROP ROLE {name}"))


async def test_file_copy_makes_two_checkpoints_and_wal_log_writes_more_wal(
    make_engine: MakeEngine,
) -> None:
    with EmbeddedPostgres() as private:
        engine = make_engine(private.url(), isolation_level="AUTOCOMMIT")
        async with engine.connect() as connection:

            async def measure(strategy: str) -> tuple[int, int]:
                before = (await connection.execute(WRITTEN)).one()
                copy = f"CREATE DATABASE {strategy} TEMPLATE template0 STRATEGY {strategy}"
                await connection.execute(text(copy))
                after = (await connection.execute(WRITTEN)).one()
                return after[0] - before[0], after[1] - before[1]

            logging = await measure("wal_log")
            copying = await measure("file_copy")
    assert (logging[0], copying[0]) == (0, 2)
    assert logging[1] > 10 * copying[1]


WRITTEN = text("SELECT num_requested, pg_current_wal_lsn() - '0/0' FROM pg_stat_checkpointer")


def test_the_table_of_times_has_file_copy_as_the_dearest_way_on_durable_settings() -> None:
    lines = (SNIPPETS / "testing/rollback/costs.txt").read_text("utf-8").splitlines()[4:]
    durable = {line[:18].strip(): float(line.split()[-3]) for line in lines}
    assert durable.pop("initdb and start")
    assert max(durable, key=durable.__getitem__) == "template file_copy"
    assert min(durable, key=durable.__getitem__) == "roll_back"


# Settings


@pytest.mark.parametrize("setting", ["on", "off"])
async def test_synchronous_commit_off_loses_the_last_commits_in_a_crash_of_the_server(
    setting: str, make_engine: MakeEngine
) -> None:
    with EmbeddedPostgres(synchronous_commit=setting) as private:
        engine = make_engine(private.url())
        async with engine.begin() as connection:
            await connection.execute(text("CREATE TABLE orders (tea text)"))
            await connection.execute(text("SET LOCAL synchronous_commit = on"))
        async with engine.begin() as connection:
            writer = await connection.scalar(
                text("SELECT pid FROM pg_stat_activity WHERE backend_type = 'walwriter'")
            )
            os.kill(int(writer or 0), signal.SIGSTOP)  # it may not come in between
            await connection.execute(text("INSERT INTO orders VALUES ('longjing')"))
        private.kill()
        os.kill(int(writer or 0), signal.SIGKILL)
        await engine.dispose()
        private.start()
        async with engine.connect() as connection:
            kept = await connection.scalar(text("SELECT count(*) FROM orders"))
        assert kept == (1 if setting == "on" else 0)
        await engine.dispose()


def test_initdb_writes_settings_into_the_new_server() -> None:
    folder = Path(tempfile.mkdtemp(prefix="initdb-"))
    try:
        if who := account():
            os.chown(folder, who["user"], who["group"])
        programs = within_reach(find_binaries(18), folder)
        subprocess.run(
            [programs / "initdb", "-D", folder / "data", "--no-sync", "--set", "fsync=off"],
            check=True, stdout=subprocess.DEVNULL, **who,
        )  # fmt: skip
        assert "\nfsync = off" in (folder / "data/postgresql.conf").read_text("utf-8")
        size = sum(file.stat().st_size for file in (folder / "data").rglob("*") if file.is_file())
        assert size > 2**25, "more than half of the 64 MB that a container has in /dev/shm"
    finally:
        shutil.rmtree(folder)
