"""The loop of the tests and the life of the engine decide which tests pass.

测试用哪个事件循环、引擎活多久，决定哪些测试能通过。
"""

import os
import re
import subprocess
import sys
import tempfile
from pathlib import Path

URL = os.environ["DATABASE_URL"]
PSYCOPG = re.sub(r"^\w+(\+\w+)?:", "postgresql+psycopg:", URL)
POOLS = [repr(URL), f"{URL!r}, poolclass=NullPool", repr(PSYCOPG)]
TEST = """
import pytest, pytest_asyncio
from sqlalchemy import NullPool, text
from sqlalchemy.ext.asyncio import create_async_engine
@pytest.mark.{}
@pytest.mark.parametrize("guest", "abc")
async def test_tea(engine, guest):
    async with engine.connect() as connection:
        await connection.execute(text("SELECT 1"))
@pytest.fixture(scope="session")
def anyio_backend(): return "asyncio"
def make(): return create_async_engine({})
{}
"""
FIXTURE = "\nasync def engine(): yield (made := make()); await made.dispose()"
SESSION = "@pytest_asyncio.fixture(scope='session', loop_scope='session')"
ENGINES = {
    "module": "@pytest.fixture(scope='session')\ndef engine(): return make()",
    "test": "@pytest_asyncio.fixture(loop_scope='function')" + FIXTURE,
    "session": SESSION + FIXTURE,
}
LOOPS = ("function", "session", "anyio")
ROWS = [f"{loop} {life}" for loop in LOOPS for life in ENGINES]
ALONE = {"PYTEST_DISABLE_PLUGIN_AUTOLOAD": "1", "COLUMNS": "500"}
PYTEST = "-E -m pytest -p pytest_asyncio.plugin -p anyio.pytest_plugin -v"
SCOPE = "asyncio_default_fixture_loop_scope=function"
with tempfile.TemporaryDirectory() as folder:
    for name in [f"{row} {pool}" for row in ROWS for pool in range(3)]:
        loop, life, pool = name.split()
        mark, engine = f"asyncio(loop_scope='{loop}')", ENGINES[life]
        if loop == "anyio":
            mark = "anyio"
            engine = re.sub("_asyncio|,? *loop_.*?'.*?'", "", engine)
        file = Path(folder, f"test_{loop}_{life}_{pool}.py")
        file.write_text(TEST.format(mark, POOLS[int(pool)], engine), "utf-8")
    argv = [sys.executable, *PYTEST.split(), "--tb=no", "-o", SCOPE]
    ran = subprocess.run(argv, cwd=folder, env=os.environ | ALONE, stdout=-1)
said = re.sub("Task <.*> ", "… ", ran.stdout.decode())
for row in ROWS:
    name = rf"^test_{row.replace(' ', '_')}_\d\S+ (\w)"
    each = "".join(re.findall(name, said, re.MULTILINE))
    pool, null, psycopg = each[:3], each[3:6], each[6:]
    print(f"{row:17} pool {pool}, NullPool {null}, psycopg {psycopg}")
    #> function module   pool PFF, NullPool PPP, psycopg PPP
    #> function test     pool PPP, NullPool PPP, psycopg PPP
    #> function session  pool PFF, NullPool PPP, psycopg PPP
    #> session module    pool PPP, NullPool PPP, psycopg PPP
    #> session test      pool PPP, NullPool PPP, psycopg PPP
    #> session session   pool PPP, NullPool PPP, psycopg PPP
    #> anyio module      pool PFF, NullPool PPP, psycopg PPP
    #> anyio test        pool PPP, NullPool PPP, psycopg PPP
    #> anyio session     pool PPP, NullPool PPP, psycopg PPP
for error in sorted(set(re.findall(r"\[.\] - (.*)", said))):
    print(error)
    #> RuntimeError: … attached to a different loop
    #> sqlalchemy.exc.InterfaceError: (sqlalchemy.dialects.postgresql.asyncpg.InterfaceError) cannot perform operation: another operation is in progress
