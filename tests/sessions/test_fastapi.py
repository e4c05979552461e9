"""What the page on the FastAPI application claims beyond the lines that its snippets print."""

import asyncio
import os
import signal
import socket
import sys
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from importlib.metadata import version
from typing import Annotated, Any

import httpx
import pytest
from anyio import from_thread, to_thread
from fastapi import Depends, FastAPI, Security
from fastapi.exceptions import DependencyScopeError
from sqlalchemy import make_url, text
from sqlalchemy.ext.asyncio import AsyncEngine, AsyncSession, create_async_engine

from tests.pools import checked_out
from tests.report import require_on
from tests.serving import DEADLINE, backends, eventually, running, serving
from tools.rooms import SNIPPETS

PAGE = "sessions/fastapi"
SELECT = text("SELECT 'oolong'")
PID = text("SELECT pg_backend_pid()")
GetSession = Callable[[], AsyncIterator[AsyncSession]]


@pytest.fixture
async def engine(database_url: str) -> AsyncIterator[AsyncEngine]:
    engine = create_async_engine(database_url, pool_timeout=DEADLINE)
    yield engine
    await engine.dispose()


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


@asynccontextmanager
async def started(database_url: str) -> AsyncIterator[tuple[str, asyncio.subprocess.Process]]:
    """`uvicorn app:app` on a free port: its address and the process."""
    with socket.create_server(("127.0.0.1", 0)) as listener:
        process = await asyncio.create_subprocess_exec(
            *[sys.executable, "-m", "uvicorn", "app:app"],
            *["--fd", str(listener.fileno()), "--log-level", "critical"],
            cwd=SNIPPETS / "sessions" / "fastapi",
            env={**os.environ, "DATABASE_URL": database_url},
            pass_fds=[listener.fileno()],
            stderr=asyncio.subprocess.PIPE,
        )
        url = f"http://127.0.0.1:{listener.getsockname()[1]}"
    try:
        yield url, process
    finally:
        if process.returncode is None:
            process.kill()
        await process.wait()


async def test_the_application_serves_under_uvicorn_and_leaves_nothing(database_url: str) -> None:
    async with started(database_url) as (url, process):
        async with httpx.AsyncClient(base_url=url, trust_env=False, timeout=DEADLINE) as client:
            answers = [await client.post("/orders?drink=oolong") for _ in range(2)]
        assert [(answer.status_code, answer.json()) for answer in answers] == [(201, 1), (201, 2)]
        assert await backends(database_url) == 1
        process.send_signal(signal.SIGTERM)
        _, said = await process.communicate()
        assert said == b""
        assert await backends(database_url) == 0


async def test_the_application_does_not_start_without_a_database(database_url: str) -> None:
    nowhere = make_url(database_url).set(host="127.0.0.1", port=1)
    async with started(nowhere.render_as_string(hide_password=False)) as (_, process):
        assert await process.wait() != 0


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
        await eventually(lambda: not server.servers[0].is_serving())
        assert out == []
        served.set()
        assert (await answer).status_code == 200
    assert out == [0]
    assert await backends(database_url) == 0


def test_an_engine_that_was_disposed_of_works_in_the_next_event_loop(database_url: str) -> None:
    engine = create_async_engine(database_url)

    async def serve_once() -> object:
        async with engine.connect() as connection:
            found = await connection.scalar(SELECT)
        await engine.dispose()
        return found

    assert [asyncio.run(serve_once()) for _ in range(3)] == ["oolong"] * 3


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


async def statuses(database_url: str, requests: int, connections: int, **depends: Any) -> list[int]:
    """The answers to requests that come together, to a `def` endpoint with a response model."""
    engine = create_async_engine(
        database_url, pool_size=connections, max_overflow=0, pool_timeout=1
    )
    everyone = asyncio.Barrier(requests)

    async def get_session() -> AsyncIterator[AsyncSession]:
        async with AsyncSession(engine) as session:
            yield session

    app = FastAPI(dependencies=[Depends(everyone.wait)])

    @app.get("/")
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


async def test_max_concurrency_at_the_size_of_the_pool_prevents_the_deadlock(
    database_url: str,
) -> None:
    async with threads(3):
        served = await statuses(database_url, requests=12, connections=2, max_concurrency=2)
    assert set(served) == {200}
