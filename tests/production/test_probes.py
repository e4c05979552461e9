"""What the page on probes says beyond what its listings print."""

import asyncio
import socket
import subprocess
import sys
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from importlib import import_module
from pathlib import Path
from types import ModuleType

import httpx
import pytest
from fastapi import FastAPI
from sqlalchemy import make_url, text
from sqlalchemy.exc import TimeoutError as PoolTimeoutError
from sqlalchemy.pool import NullPool

from tests.pools import MakeEngine
from tests.serving import running
from tests.waiting import DEADLINE, eventually, wait_until
from tools.postgres import Proxy, free_port

ASK = text("SELECT 1")


@pytest.fixture
def app(database_url: str, monkeypatch: pytest.MonkeyPatch) -> ModuleType:
    """The page's application; each test puts its own engine into it."""
    monkeypatch.setenv("DATABASE_URL", database_url)
    return import_module("snippets.production.probes.app")


async def probe(app: ModuleType, path: str) -> int:
    transport = httpx.ASGITransport(app.app)
    async with httpx.AsyncClient(transport=transport, base_url="http://shop") as client:
        return (await client.get(path)).status_code


@pytest.mark.parametrize(
    ("fault", "parts"),
    [
        ("nobody listens", {"port": 1}),
        ("the password is wrong", {"password": "expired"}),
        ("there is no such database", {"database": "no_such_database"}),
    ],
)
async def test_whatever_goes_wrong_is_not_ready_and_alive(
    app: ModuleType,
    fault: str,
    parts: dict[str, object],
    database_url: str,
    make_engine: MakeEngine,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    url = make_url(database_url).set(**parts)  # type: ignore[arg-type]
    monkeypatch.setattr(app, "probing", make_engine(url, poolclass=NullPool))
    assert await probe(app, "/ready") == 503, fault
    assert await probe(app, "/live") == 200


async def test_it_is_ready_though_the_pool_of_the_application_is_exhausted(
    app: ModuleType, make_engine: MakeEngine, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(app, "LIMIT", 60)
    monkeypatch.setattr(app, "probing", make_engine(poolclass=NullPool))
    engine = make_engine(pool_size=1, max_overflow=0, pool_timeout=0.1)
    async with engine.connect() as guest:
        await guest.execute(ASK)
        with pytest.raises(PoolTimeoutError):
            await engine.connect()
        assert await probe(app, "/ready") == 200


async def test_a_silent_server_is_not_ready_after_the_limit(
    app: ModuleType, database_url: str, make_engine: MakeEngine, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(app, "LIMIT", 0.1)
    with socket.create_server(("127.0.0.1", 0)) as silent:
        url = make_url(database_url).set(host="127.0.0.1", port=silent.getsockname()[1])
        monkeypatch.setattr(app, "probing", make_engine(url, poolclass=NullPool))
        assert await probe(app, "/ready") == 503


@pytest.mark.parametrize(
    ("word", "status"), [(b"SELECT 1", 503), (b"X\0\0\0\4", 200)], ids=["query", "close"]
)
async def test_a_server_that_falls_silent_after_the_login_holds_no_probe_for_ever(
    app: ModuleType,
    word: bytes,
    status: int,
    database_url: str,
    make_engine: MakeEngine,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    heard: list[bytes] = []

    def fall_silent(side: str, data: bytes) -> bytes:
        heard.append(data)
        if side == "client" and word in data:
            proxy.swallow()
            return b""
        return data

    assert app.OPTIONS["connect_args"] == {"command_timeout": app.LIMIT}
    monkeypatch.setattr(app, "LIMIT", 60)
    async with Proxy(database_url) as proxy:
        options = app.OPTIONS | {"connect_args": {"command_timeout": 1}}
        engine = make_engine(proxy.url, **options)
        async with engine.connect():  # the first connection asks for more
            pass
        monkeypatch.setattr(app, "probing", engine)
        proxy.edit = fall_silent
        async with asyncio.timeout(60):
            assert await probe(app, "/ready") == status
    assert word in b"".join(heard)
    assert b"BEGIN" not in b"".join(heard)  # else ROLLBACK has to be waited for


async def test_a_probe_that_gives_up_first_does_not_keep_the_reason_from_the_log(
    app: ModuleType,
    database_url: str,
    make_engine: MakeEngine,
    monkeypatch: pytest.MonkeyPatch,
    caplog: pytest.LogCaptureFixture,
) -> None:
    asked = asyncio.Event()

    async def stay_silent(_: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        asked.set()
        await writer.wait_closed()

    monkeypatch.setattr(app, "LIMIT", 1)
    silent = await asyncio.start_server(stay_silent, "127.0.0.1", 0)
    url = make_url(database_url).set(host="127.0.0.1", port=silent.sockets[0].getsockname()[1])
    monkeypatch.setattr(app, "probing", make_engine(url, poolclass=NullPool))
    async with running(app.app) as (_, shop), httpx.AsyncClient(trust_env=False) as kubelet:
        asking = asyncio.create_task(kubelet.get(f"{shop}/ready"))
        await asked.wait()
        asking.cancel()
        with pytest.raises(asyncio.CancelledError):
            await asking
        await eventually("it is logged", lambda: "not ready: TimeoutError()" in caplog.text)
    silent.close()


SHOP = """
import asyncio
from pathlib import Path

from fastapi import FastAPI

app = FastAPI()


@app.get("/")
async def order() -> str:
    Path("begun").touch()
    while not Path("go_on").exists():
        await asyncio.sleep(0.01)
    return "longjing"
"""


def test_with_workers_the_port_stays_open_and_who_comes_late_is_cut_off(tmp_path: Path) -> None:
    (tmp_path / "shop.py").write_text(SHOP, "utf-8")
    port = free_port()
    server = subprocess.Popen(
        [sys.executable, "-m", "uvicorn", "shop:app", "--workers", "2", "--port", str(port)],
        cwd=tmp_path, stderr=subprocess.PIPE, encoding="utf-8",
    )  # fmt: skip
    assert server.stderr
    said = iter(server.stderr)
    try:
        for _ in range(2):
            next(line for line in said if "startup complete" in line)
        with ThreadPoolExecutor(1) as guests:
            url = f"http://127.0.0.1:{port}"
            ordered = guests.submit(httpx.get, url, timeout=DEADLINE, trust_env=False)
            wait_until("it is asked", (tmp_path / "begun").exists)
            server.terminate()
            for _ in range(2):
                next(line for line in said if "Shutting down" in line)
            with socket.create_connection(("127.0.0.1", port), DEADLINE) as late:
                late.sendall(b"GET / HTTP/1.1\r\nHost: shop\r\n\r\n")
                (tmp_path / "go_on").touch()
                assert ordered.result().json() == "longjing"
                with suppress(ConnectionResetError):
                    assert late.recv(1) == b""
    finally:
        (tmp_path / "go_on").touch()
        server.terminate()
        server.communicate(timeout=DEADLINE)


async def test_on_sigterm_the_port_is_closed_while_a_request_still_runs() -> None:
    begun, go_on = asyncio.Event(), asyncio.Event()
    shop = FastAPI()

    @shop.get("/")
    async def order() -> str:
        begun.set()
        await go_on.wait()
        return "longjing"

    async with running(shop) as (server, url), httpx.AsyncClient(trust_env=False) as guest:
        ordered = asyncio.create_task(guest.get(url, timeout=60))
        await begun.wait()
        server.should_exit = True  # what uvicorn's handler of SIGTERM does
        async with asyncio.timeout(60):
            while True:
                try:
                    _, late = await asyncio.open_connection("127.0.0.1", httpx.URL(url).port)
                except ConnectionError:  # refused, or reset in the queue
                    break
                late.close()
                await asyncio.sleep(0.01)
        go_on.set()
        assert (await ordered).json() == "longjing"
