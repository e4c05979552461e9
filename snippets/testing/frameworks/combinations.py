"""How tests call the application and where its engine ends decide which pass.

测试怎么调用应用，引擎在哪里 dispose，决定哪些测试能通过。
"""

import re
import subprocess
import sys
import tempfile
from pathlib import Path

TEST = """
import pytest, contextlib, os
from fastapi import FastAPI, testclient
from httpx import ASGITransport, AsyncClient
from sqlalchemy import NullPool, text
from sqlalchemy.ext.asyncio import create_async_engine
def make(): return create_async_engine(os.environ["DATABASE_URL"]{})
@contextlib.asynccontextmanager
async def lifespan(app): {}; yield; {}
app = FastAPI(lifespan=lifespan); {}
@app.get("/")
async def pour():
    async with app.engine.connect() as it: await it.execute(text("SELECT 1"))
def web(): return AsyncClient(transport=ASGITransport(app), base_url="http://a")
pytestmark = pytest.mark.asyncio(loop_scope="{scope}")
@pytest.fixture(scope="{scope}")
{a}def client():
    {body} as client: yield client
@pytest.mark.parametrize("guest", "abc")
{a}def test_tea(client, guest): {w}client.get("/")
"""
ENGINES = {
    "module": ("", "0", "0", "app.engine = make()"),
    "disposed": ("", "0", "await app.engine.dispose()", "app.engine = make()"),
    "made": ("", "app.engine = make()", "await app.engine.dispose()", ""),
    "NullPool": (", poolclass=NullPool", "0", "0", "app.engine = make()"),
}
WAYS = {
    "TestClient": "with contextlib.nullcontext(testclient.TestClient(app))",
    "with TestClient": "with testclient.TestClient(app)",
    "ASGITransport": "async with web()",
    "and lifespan": "async with lifespan(app), web()",
}
ROWS = [f"{way}, {scope}" for way in WAYS for scope in ("function", "session")]
PYTEST = "-E -m pytest --tb=no -vo asyncio_mode=auto"
with tempfile.TemporaryDirectory() as folder:
    for row, name in enumerate(ROWS):
        way, scope = name.split(", ")
        a, w = ("async ", "await ") if "async" in WAYS[way] else ("", "")
        for engine, source in ENGINES.items():
            test = TEST.format(*source, scope=scope, body=WAYS[way], a=a, w=w)
            Path(folder, f"test_{row}_{engine}.py").write_text(test, "utf-8")
    argv = [sys.executable, *PYTEST.split()]
    ran = subprocess.run(argv, cwd=folder, capture_output=True, text=True)
print(" " * 25, *map("{:>8}".format, ENGINES))
#>                             module disposed     made NullPool
for row, name in enumerate(ROWS):
    tests = [rf"(?m)^test_{row}_{engine}\S+ (\w)" for engine in ENGINES]
    marks = ["".join(re.findall(test, ran.stdout)) for test in tests]
    print(f"{name:25}", *map("{:>8}".format, marks))
    #> TestClient, function           PFF      PFF      FFF      PPP
    #> TestClient, session            PFF      PFF      FFF      PPP
    #> with TestClient, function      PFF      PPP      PPP      PPP
    #> with TestClient, session       PPP      PPP      PPP      PPP
    #> ASGITransport, function        PFF      PFF      FFF      PPP
    #> ASGITransport, session         PPP      PPP      FFF      PPP
    #> and lifespan, function         PFF      PPP      PPP      PPP
    #> and lifespan, session          PPP      PPP      PPP      PPP
