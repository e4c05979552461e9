"""What the page on the FastAPI application claims beyond the lines that its snippets print."""

import asyncio
import os
import signal
import socket
import sys
import threading
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager, suppress
from functools import lru_cache
from importlib.metadata import version
from pathlib import Path
from types import SimpleNamespace
from typing import Annotated, Any

import httpx
import pytest
from anyio import from_thread, to_thread
from fastapi import Depends, FastAPI, Security
from fastapi.exceptions import DependencyScopeError
from sqlalchemy import NullPool, make_url, text
from sqlalchemy.ext.asyncio import (
    AsyncEngine,
    AsyncSession,
    async_sessionmaker,
    create_async_engine,
)

from tests.asking import backends
from tests.loading import load_snippet
from tests.pools import MakeEngine, checked_out, leaves_open
from tests.report import require_on
from tests.serving import running, serving
from tests.waiting import DEADLINE, eventually
from tools.paths import DOCS, LANGUAGES, SNIPPETS

PAGE = "sessions/fastapi"
SELECT = text("SELECT 'oolong'")
PID = text("SELECT pg_backend_pid()")
GetSession = Callable[[], AsyncIterator[AsyncSession]]


@pytest.fixture
def engine(make_engine: MakeEngine) -> AsyncEngine:
    return make_engine(pool_timeout=DEADLINE)


@pytest.fixture
def get_session(engine: AsyncEngine) -> GetSession:
    """The usual dependency."""

    async def get_session() -> AsyncIterator[AsyncSession]:
        async with AsyncSession(engine) as session:
            yield session

    return get_session


def test_the_page_names_the_versions_that_ran() -> None:
    for package, name in (("fastapi", "FastAPI"), ("starlette", "Starlette")):
        require_on(PAGE, f"{name} {version(package)}")
    require_on(PAGE, f"uvicorn {version('uvicorn')}")


# The application to start from

FOLDER = SNIPPETS / "sessions" / "fastapi"
TEMPLATE = "sessions/fastapi/app.py"


@asynccontextmanager
async def started(
    database_url: str, *options: str, folder: Path = FOLDER
) -> AsyncIterator[tuple[str, asyncio.subprocess.Process]]:
    """`uvicorn app:app` on a free port: its address and the process."""
    with socket.create_server(("127.0.0.1", 0)) as listener:
        process = await asyncio.create_subprocess_exec(
            *[sys.executable, "-m", "uvicorn", "app:app", *options],
            *["--fd", str(listener.fileno()), "--log-level", "critical"],
            cwd=folder,
            env={**os.environ, "DATABASE_URL": database_url},
            pass_fds=[listener.fileno()],
            stdout=asyncio.subprocess.PIPE,
            stderr=asyncio.subprocess.PIPE,
            process_group=0,
        )
        url = f"http://127.0.0.1:{listener.getsockname()[1]}"
    try:
        yield url, process
    finally:
        with suppress(ProcessLookupError):
            os.killpg(process.pid, signal.SIGKILL)  # the reloader's child, too
        await process.wait()


def client_of(url: str) -> httpx.AsyncClient:
    return httpx.AsyncClient(base_url=url, trust_env=False, timeout=DEADLINE)


async def ended(process: asyncio.subprocess.Process) -> tuple[list[str], str]:
    """The lines that a process still prints until it has ended, and what it complains of."""
    async with asyncio.timeout(DEADLINE):
        out, said = await process.communicate()
    return out.decode().splitlines(), said.decode()


async def test_the_application_serves_under_uvicorn_and_leaves_nothing(database_url: str) -> None:
    async with started(database_url) as (url, process):
        async with client_of(url) as client:
            answers = [(await client.get("/now")).status_code for _ in range(2)]
        assert answers == [200, 200]
        assert await backends(database_url) == 1
        process.send_signal(signal.SIGTERM)
        assert await ended(process) == ([], "")
        assert await backends(database_url) == 0


async def test_the_application_answers_although_the_server_cut_its_connection(
    database_url: str,
    make_engine: MakeEngine,
) -> None:
    watcher = make_engine(poolclass=NullPool)
    async with started(database_url) as (url, _), client_of(url) as client:
        assert (await client.get("/now")).status_code == 200
        async with watcher.connect() as connection:
            assert (await connection.scalars(KILL_OTHERS)).all() == [True]
        assert (await client.get("/now")).status_code == 200


KILL_OTHERS = text("""
    SELECT pg_terminate_backend(pid) FROM pg_stat_activity
    WHERE datname = current_database() AND pid <> pg_backend_pid()
    AND application_name = 'my-service'
""")


async def test_the_application_starts_without_a_database_and_its_requests_fail(
    database_url: str,
) -> None:
    nowhere = make_url(database_url).set(host="127.0.0.1", port=1)
    async with started(nowhere.render_as_string(hide_password=False)) as (url, process):
        async with client_of(url) as client:
            assert (await client.get("/now")).status_code == 500
        process.send_signal(signal.SIGTERM)
        await ended(process)


async def test_the_template_gives_its_connections_a_limit_and_a_name(database_url: str) -> None:
    engine: AsyncEngine = load_snippet(TEMPLATE, database_url, before="\nif __name__")["engine"]
    async with engine.connect() as connection:
        settings = "statement_timeout", "application_name"
        found = [await connection.scalar(text(f"SHOW {name}")) for name in settings]
    assert found == ["30s", "my-service"]
    assert await backends(database_url) == 1
    await engine.dispose()


async def test_the_template_does_not_wait_for_ever_when_it_stops() -> None:
    names = load_snippet(TEMPLATE, before="\nif __name__", changes={"timeout(5)": "timeout(0.01)"})

    async def dispose() -> None:
        await asyncio.sleep(3)

    names["engine"] = SimpleNamespace(dispose=dispose)
    with pytest.raises(TimeoutError):
        async with names["lifespan"](names["app"]):
            pass


class WithExec(AsyncSession):
    """A session as SQLModel's, with a method that others lack."""

    async def exec(self, statement: Any) -> Any:
        return await self.scalars(statement)


async def test_the_factory_makes_sessions_of_the_class_it_is_given(engine: AsyncEngine) -> None:
    async with async_sessionmaker(engine, class_=WithExec)() as session:
        assert (await session.exec(SELECT)).all() == ["oolong"]
    async with async_sessionmaker(engine)() as plain:
        assert not hasattr(plain, "exec")
    for language in LANGUAGES:
        assert "class_=AsyncSession" in (DOCS / language / f"{PAGE}.md").read_text("utf-8")


# Backends, engines, shutdown


async def test_a_request_without_sql_takes_no_connection(
    database_url: str, get_session: GetSession
) -> None:
    app = FastAPI()

    @app.get("/")
    async def menu(session: Annotated[AsyncSession, Depends(get_session)]) -> bool:
        return session.in_transaction()

    async with serving(app) as client:
        assert (await client.get("/")).json() is False
        assert await backends(database_url) == 0


async def test_lru_cache_in_a_def_dependency_can_make_two_engines(make_engine: MakeEngine) -> None:
    both = threading.Barrier(2, timeout=DEADLINE)

    @lru_cache
    def get_engine() -> AsyncEngine:
        both.wait()
        return make_engine()

    app, given = FastAPI(), set[int]()

    @app.get("/")
    async def pour(engine: Annotated[AsyncEngine, Depends(get_engine)]) -> None:
        given.add(id(engine))
        kept.append(engine)

    kept: list[AsyncEngine] = []
    async with serving(app) as client:
        await asyncio.gather(client.get("/"), client.get("/"))
        assert len(given) == 2
        given.clear()
        await asyncio.gather(client.get("/"), client.get("/"))
        assert len(given) == 1, "once it has been called, it is one"


async def test_a_request_that_runs_no_sql_leaves_no_connection_of_its_own_engine(
    database_url: str,
    make_engine: MakeEngine,
) -> None:
    kept: list[AsyncEngine] = []

    async def get_session() -> AsyncIterator[AsyncSession]:
        kept.append(make_engine())
        async with AsyncSession(kept[-1]) as session:
            yield session

    app = FastAPI()

    @app.get("/")
    async def pour(session: Annotated[AsyncSession, Depends(get_session)], sql: bool) -> None:
        if sql:
            await session.execute(SELECT)

    async with serving(app) as client:
        for sql in (False, True):
            await client.get("/", params={"sql": sql})
            assert await backends(database_url) == sql
    for engine in kept:
        await engine.dispose()


async def test_running_requests_end_before_dispose(database_url: str, engine: AsyncEngine) -> None:
    arrived, served = asyncio.Event(), asyncio.Event()
    out: list[int] = []

    @asynccontextmanager
    async def lifespan(app: FastAPI) -> AsyncIterator[None]:
        yield
        out.append(checked_out(engine))
        await engine.dispose()

    app = FastAPI(lifespan=lifespan)

    @app.get("/")
    async def pour() -> None:
        async with AsyncSession(engine) as session:
            await session.execute(SELECT)
            arrived.set()
            await served.wait()

    async with running(app) as (server, url), httpx.AsyncClient(trust_env=False) as client:
        answer = asyncio.create_task(client.get(url))
        await arrived.wait()
        server.should_exit = True
        [listening] = server.servers
        await eventually("uvicorn stops listening", lambda: not listening.is_serving())
        assert out == []
        served.set()
        assert (await answer).status_code == 200
    assert out == [0]
    assert await backends(database_url) == 0


WITHOUT_DISPOSE = """
import os
from fastapi import FastAPI
from sqlalchemy import text
from sqlalchemy.ext.asyncio import create_async_engine

engine = create_async_engine(os.environ["DATABASE_URL"])
app = FastAPI()

@app.get("/")
async def pour() -> int:
    async with engine.connect() as connection:
        await connection.execute(text("SELECT 'oolong'"))
    return os.getpid()
"""


async def test_reload_ends_the_process_and_its_backends_with_it(
    database_url: str, tmp_path: Path
) -> None:
    app = tmp_path / "app.py"
    app.write_text(WITHOUT_DISPOSE, "utf-8")
    written = app.stat().st_mtime
    seen: list[int] = []

    async def another_process(url: str) -> None:
        """Ask until a process answers that has not answered before."""

        async def answers() -> bool:
            async with client_of(url) as client:
                with suppress(httpx.HTTPError):
                    pid = (await client.get("/")).json()
                    if pid not in seen:
                        seen.append(pid)
                        return True
            return False

        await eventually("another process answers", answers)

    async with started(database_url, "--reload", folder=tmp_path) as (url, _):
        for later in (10, 20, 30):
            await another_process(url)
            os.utime(app, (written + later,) * 2)
        await another_process(url)
        assert await backends(database_url) == 1


SLOW = """
import asyncio, os
from contextlib import asynccontextmanager
from fastapi import FastAPI
from sqlalchemy import text
from sqlalchemy.ext.asyncio import create_async_engine

engine = create_async_engine(os.environ["DATABASE_URL"])

@asynccontextmanager
async def lifespan(app):
    try:
        yield
        print("after yield", flush=True)
    finally:
        print("finally, out:", engine.pool.checkedout(), flush=True)
        await engine.dispose()

app = FastAPI(lifespan=lifespan)

@app.get("/")
async def pour() -> None:
    async with engine.connect() as connection:
        await connection.execute(text("SELECT 'oolong'"))
        print("arrived", flush=True)
        await asyncio.Event().wait()
"""


async def stopped_by(
    signals: list[signal.Signals], database_url: str, folder: Path, *options: str
) -> list[str]:
    """What the slow application prints when it is stopped in the middle of a request."""
    (folder / "app.py").write_text(SLOW, "utf-8")
    async with (
        started(database_url, *options, folder=folder) as (url, process),
        client_of(url) as client,
    ):
        asking = asyncio.create_task(client.get("/"))
        assert process.stdout
        async with asyncio.timeout(DEADLINE):
            assert await process.stdout.readline() == b"arrived\n"
        for number in signals:
            process.send_signal(number)
            await asyncio.sleep(0.3)  # so that uvicorn sees them one by one
        lines, _ = await ended(process)
        with suppress(httpx.HTTPError):
            await asking
    return lines


async def test_dispose_does_not_find_what_a_request_holds_when_its_time_is_up(
    database_url: str, tmp_path: Path
) -> None:
    options = "--timeout-graceful-shutdown", "1"
    lines = await stopped_by([signal.SIGTERM], database_url, tmp_path, *options)
    assert lines == ["after yield", "finally, out: 1"]


async def test_only_finally_runs_after_a_second_ctrl_c(database_url: str, tmp_path: Path) -> None:
    # From Python 3.12 on, uvicorn waits for its connections even then: the option ends that.
    options = "--timeout-graceful-shutdown", "2"
    lines = await stopped_by([signal.SIGINT] * 2, database_url, tmp_path, *options)
    assert lines == ["finally, out: 1"]


@pytest.mark.parametrize("loop", ["asyncio", "uvloop"])
async def test_from_python_3_12_on_a_second_ctrl_c_waits_on_asyncios_own_loop(
    database_url: str, tmp_path: Path, loop: str
) -> None:
    (tmp_path / "app.py").write_text(SLOW, "utf-8")
    waits = sys.version_info >= (3, 12) and loop == "asyncio"
    async with (
        started(database_url, "--loop", loop, folder=tmp_path) as (url, process),
        client_of(url) as client,
    ):
        asking = asyncio.create_task(client.get("/"))
        assert process.stdout
        async with asyncio.timeout(DEADLINE):
            await process.stdout.readline()
        for _ in range(2):
            process.send_signal(signal.SIGINT)
            await asyncio.sleep(0.3)  # so that uvicorn sees them one by one
        waiting = asyncio.create_task(process.wait())
        await asyncio.wait([waiting], timeout=1 if waits else DEADLINE)
        assert waiting.done() != waits
        if not waiting.done():
            process.kill()
        with suppress(httpx.HTTPError):
            await asking


ENDLESS = """
@app.get("/endless")
async def endless() -> StreamingResponse:
    async def brew():
        print("arrived", flush=True)
        while True:
            yield "oolong"
            await asyncio.sleep(0.05)

    return StreamingResponse(brew())
"""


@pytest.mark.parametrize(
    ("options", "lines"),
    [
        ((), []),
        (("--timeout-graceful-shutdown", "1"), ["after yield", "finally, out: 0"]),
    ],
)
async def test_the_server_waits_for_an_endless_stream_before_it_disposes(
    database_url: str, tmp_path: Path, options: tuple[str, ...], lines: list[str]
) -> None:
    head = "from fastapi.responses import StreamingResponse\n"
    (tmp_path / "app.py").write_text(head + SLOW + ENDLESS, "utf-8")

    async def listen(client: httpx.AsyncClient) -> None:
        async with client.stream("GET", "/endless") as response:
            async for _ in response.aiter_text():
                pass

    async with (
        started(database_url, *options, folder=tmp_path) as (url, process),
        client_of(url) as client,
    ):
        listening = asyncio.create_task(listen(client))
        assert process.stdout
        async with asyncio.timeout(DEADLINE):
            assert await process.stdout.readline() == b"arrived\n"
        process.send_signal(signal.SIGTERM)
        ending = asyncio.create_task(ended(process))
        await asyncio.wait([ending], timeout=DEADLINE if lines else 2)
        assert ending.done() == bool(lines)
        if not ending.done():
            process.kill()
        assert (await ending)[0] == lines
        with suppress(httpx.HTTPError):
            await listening


def test_an_engine_that_was_disposed_of_works_in_the_next_event_loop(database_url: str) -> None:
    engine = create_async_engine(database_url)

    async def serve_once() -> object:
        async with engine.connect() as connection:
            found = await connection.scalar(SELECT)
        await engine.dispose()
        return found

    assert [asyncio.run(serve_once()) for _ in range(3)] == ["oolong"] * 3


@pytest.mark.filterwarnings(r"ignore:\s*on_event is deprecated")
@pytest.mark.parametrize("way", ["alone", "beside a lifespan", "mounted"])
async def test_what_does_not_run_beside_the_lifespan_of_the_application(way: str) -> None:
    ran: list[str] = []

    @asynccontextmanager
    async def lifespan(app: FastAPI) -> AsyncIterator[None]:
        yield
        ran.append("lifespan")

    app = FastAPI() if way == "alone" else FastAPI(lifespan=lifespan)
    within = FastAPI(lifespan=lifespan) if way == "mounted" else app
    if within is app:

        @app.on_event("shutdown")
        async def dispose() -> None:
            ran.append("on_event")

    else:
        app.mount("/orders", within)
    async with running(app):
        pass
    assert ran == (["on_event"] if way == "alone" else ["lifespan"])


async def test_the_asgi_transport_does_not_run_the_lifespan() -> None:
    ran: list[str] = []

    @asynccontextmanager
    async def lifespan(app: FastAPI) -> AsyncIterator[None]:
        ran.append("started")
        yield

    transport = httpx.ASGITransport(FastAPI(lifespan=lifespan))
    async with httpx.AsyncClient(transport=transport, base_url="http://teahouse") as client:
        assert (await client.get("/openapi.json")).status_code == 200
    assert ran == []


# Two sessions


def other_ways(get_session: GetSession) -> dict[str, Any]:
    """What else gives a request a second session, by name."""

    async def another() -> AsyncIterator[AsyncSession]:
        async for session in get_session():
            yield session

    return {
        "use_cache": Depends(get_session, use_cache=False),
        "another": Depends(another),
        "security": Security(get_session, scopes=["orders"]),
    }


@pytest.mark.parametrize("way", ["use_cache", "another", "security"])
async def test_other_ways_to_a_second_connection(get_session: GetSession, way: str) -> None:
    app = FastAPI()

    @app.get("/")
    async def endpoint(
        one: Annotated[AsyncSession, Depends(get_session)],
        two: Annotated[AsyncSession, other_ways(get_session)[way]],
    ) -> int:
        return len({await one.scalar(PID), await two.scalar(PID)})

    async with serving(app) as client:
        assert (await client.get("/")).json() == 2


def test_fastapi_refuses_the_shorter_scope_inside_the_longer(get_session: GetSession) -> None:
    async def signed_in(
        session: Annotated[AsyncSession, Depends(get_session, scope="function")],
    ) -> AsyncIterator[AsyncSession]:
        yield session

    with pytest.raises(DependencyScopeError) as refused:
        FastAPI(dependencies=[Depends(signed_in)]).get("/")(lambda: None)
    require_on(PAGE, str(refused.value))


# Threads


@asynccontextmanager
async def threads(number: int) -> AsyncIterator[None]:
    """So many threads for `def` endpoints, instead of the default."""
    limiter = to_thread.current_default_thread_limiter()
    before, limiter.total_tokens = limiter.total_tokens, number
    yield
    limiter.total_tokens = before


async def statuses(
    database_url: str, requests: int, connections: int, model: Any = str, **depends: Any
) -> list[int]:
    """The answers to requests that come together, to a `def` endpoint."""
    engine = create_async_engine(
        database_url, pool_size=connections, max_overflow=0, pool_timeout=1
    )
    everyone = asyncio.Barrier(requests)

    async def get_session() -> AsyncIterator[AsyncSession]:
        async with AsyncSession(engine) as session:
            yield session

    app = FastAPI(dependencies=[Depends(everyone.wait)])

    @app.get("/", response_model=model)
    def pour(session: Annotated[AsyncSession, Depends(get_session, **depends)]) -> str:
        return str(from_thread.run(session.scalar, SELECT))

    async with serving(app) as client:
        answers = await asyncio.gather(*(client.get("/") for _ in range(requests)))
    await engine.dispose()
    return [answer.status_code for answer in answers]


async def test_there_are_forty_threads() -> None:
    assert to_thread.current_default_thread_limiter().total_tokens == 40


async def test_a_pool_as_large_as_the_thread_pool_deadlocks_all_the_same(
    database_url: str,
) -> None:
    async with threads(3):
        assert 500 in await statuses(database_url, requests=12, connections=3)


async def test_without_a_response_model_one_thread_serves_them_all(database_url: str) -> None:
    async with threads(1):
        assert set(await statuses(database_url, requests=3, connections=1, model=None)) == {200}


async def test_max_concurrency_at_the_size_of_the_pool_prevents_the_deadlock(
    database_url: str,
) -> None:
    async with threads(3):
        served = await statuses(database_url, requests=12, connections=2, max_concurrency=2)
    assert set(served) == {200}


# Other frameworks


@leaves_open
@pytest.mark.parametrize(("poolclass", "works"), [(None, False), (NullPool, True)])
def test_an_event_loop_for_each_request_needs_nullpool(
    database_url: str, poolclass: type[NullPool] | None, works: bool
) -> None:
    engine = create_async_engine(database_url, poolclass=poolclass)

    async def view() -> object:
        async with engine.connect() as connection:
            return await connection.scalar(SELECT)

    assert asyncio.run(view()) == "oolong"
    if works:
        assert [asyncio.run(view()) for _ in range(2)] == ["oolong"] * 2
    else:
        with pytest.raises(RuntimeError, match="attached to a different loop"):
            asyncio.run(view())
    asyncio.run(engine.dispose(close=False))


async def test_resolvers_that_run_at_once_need_a_session_each(engine: AsyncEngine) -> None:
    async def resolve(session: AsyncSession) -> object:
        return await session.scalar(SELECT)

    async def resolve_alone() -> object:
        async with AsyncSession(engine) as session:
            return await resolve(session)

    async with AsyncSession(engine) as session:
        shared = await asyncio.gather(resolve(session), resolve(session), return_exceptions=True)
    assert [type(answer).__name__ for answer in shared] == ["str", "InvalidRequestError"]
    assert set(await asyncio.gather(resolve_alone(), resolve_alone())) == {"oolong"}
