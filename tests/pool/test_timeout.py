"""What the page on `pool_timeout` says beyond what its snippets print."""

import asyncio
import inspect
import socket
from collections.abc import AsyncIterator, Callable, Coroutine
from contextlib import AsyncExitStack
from typing import Annotated, Any, Literal

import asyncpg  # type: ignore[import-untyped]
import httpx
import pytest
from fastapi import BackgroundTasks, Depends, FastAPI
from fastapi.responses import StreamingResponse
from sqlalchemy import exc, text
from sqlalchemy.ext.asyncio import (
    AsyncEngine,
    AsyncSession,
    async_sessionmaker,
)
from sqlalchemy.pool import QueuePool

from tests.pools import MakeEngine, checked_out, one_connection, record
from tests.prose import sql_fences
from tests.waiting import DEADLINE
from tools.paths import LANGUAGES
from tools.postgres import Proxy, dsn_of

SELECT = text("SELECT 'oolong'")


async def select(engine: AsyncEngine) -> None:
    async with engine.connect() as connection:
        await connection.execute(SELECT)


# The error


@pytest.mark.parametrize(
    ("options", "said"),
    [
        ({}, "size 5 overflow 10 reached, connection timed out, timeout 30.00"),
        (
            {"pool_size": 20, "max_overflow": 0},
            "size 20 overflow 0 reached, connection timed out, timeout 30.00",
        ),
        (
            {"pool_size": 2, "max_overflow": 1, "pool_timeout": 0.5},
            "size 2 overflow 1 reached, connection timed out, timeout 0.50",
        ),
    ],
)
async def test_the_error_names_the_settings_of_its_engine(
    make_engine: MakeEngine, options: dict[str, float], said: str
) -> None:
    whole: dict[str, Any] = {
        name: int(value) for name, value in options.items() if name != "pool_timeout"
    }
    engine = make_engine(**whole)
    pool = engine.pool
    assert isinstance(pool, QueuePool)
    timeout = options.get("pool_timeout", 30.0)
    assert pool.timeout() == 30.0
    pool._timeout = 0  # nobody waits half a minute here
    async with AsyncExitStack() as lent:
        for _ in range(whole.get("pool_size", 5) + whole.get("max_overflow", 10)):
            await lent.enter_async_context(engine.connect())
        with pytest.raises(exc.TimeoutError) as caught:
            await engine.connect()
    text = str(caught.value.args[0])
    assert text.replace("timeout 0.00", f"timeout {timeout:.2f}") == f"QueuePool limit of {said}"


# What it does not cover


def test_asyncpg_allows_a_minute_for_connecting() -> None:
    assert inspect.signature(asyncpg.connect).parameters["timeout"].default == 60


@pytest.mark.parametrize("pool_timeout", [0.5, None])
async def test_a_failed_attempt_to_connect_wakes_nobody(
    database_url: str, make_engine: MakeEngine, pool_timeout: float | None
) -> None:
    refuse, tries = asyncio.Event(), 0
    url = dsn_of(database_url)

    async def creator(*_: object) -> object:
        nonlocal tries
        tries += 1
        if tries == 1:
            await refuse.wait()
            raise ConnectionRefusedError
        return await asyncpg.connect(url)

    engine = one_connection(make_engine, pool_timeout=pool_timeout, async_creator=creator)
    first = asyncio.create_task(select(engine))
    await asyncio.sleep(0)
    waiting = asyncio.create_task(select(engine))
    await asyncio.sleep(0)
    refuse.set()
    with pytest.raises(ConnectionRefusedError):
        await first
    for _ in range(10):
        await asyncio.sleep(0)
    assert tries == 1  # nobody was woken
    if pool_timeout:
        await waiting  # no error: it tries itself when its time is up
        assert tries == 2
    else:
        _, still = await asyncio.wait([waiting], timeout=0.3)
        assert still
        await select(engine)  # somebody who comes later is served first, and wakes the other
        await waiting


async def test_an_attempt_to_connect_that_is_cancelled_wakes_nobody(
    database_url: str, make_engine: MakeEngine
) -> None:
    attempts, url = list[str](), dsn_of(database_url)

    async def creator(*_: object) -> object:
        attempts.append("attempt")
        if len(attempts) == 1:
            await asyncio.Event().wait()
        return await asyncpg.connect(url)

    engine = one_connection(make_engine, pool_timeout=None, async_creator=creator)
    first = asyncio.create_task(select(engine))
    await asyncio.sleep(0)
    waiting = asyncio.create_task(select(engine))
    await asyncio.sleep(0)
    first.cancel()
    await asyncio.wait([first])
    assert checked_out(engine) == 0
    _, still = await asyncio.wait([waiting], timeout=0.3)
    assert still
    assert attempts == ["attempt"]
    await select(engine)  # somebody who comes later is served first, and wakes the other
    await waiting
    await engine.dispose()


async def test_a_failed_attempt_to_replace_a_connection_wakes_the_next(
    database_url: str, make_engine: MakeEngine
) -> None:
    refuse, tries = asyncio.Event(), 0
    url = dsn_of(database_url)

    async def creator(*_: object) -> object:
        nonlocal tries
        tries += 1
        if tries > 1:
            await refuse.wait()
            raise ConnectionRefusedError
        return await asyncpg.connect(url)

    engine = one_connection(make_engine, pool_timeout=None, async_creator=creator)
    async with engine.connect() as connection:
        await connection.execute(SELECT)
        await connection.invalidate()
    waiting = [asyncio.create_task(select(engine)) for _ in range(3)]
    await asyncio.sleep(0)
    refuse.set()
    async with asyncio.timeout(DEADLINE):
        outcomes = await asyncio.gather(*waiting, return_exceptions=True)
    assert [type(outcome) for outcome in outcomes] == [ConnectionRefusedError] * 3
    assert tries == 1 + 3


@pytest.mark.parametrize(
    "limits", [{"timeout": 3}, {"timeout": 60, "command_timeout": 0.2}], ids=" ".join
)
async def test_after_the_login_command_timeout_ends_a_first_connection(
    database_url: str, make_engine: MakeEngine, limits: dict[str, float]
) -> None:
    logged_in = asyncio.Event()

    def silent(side: str, data: bytes) -> bytes:
        if side == "client" and b"BEGIN;" in data:
            logged_in.set()
            return b""
        return data

    async with Proxy(database_url) as proxy:
        proxy.edit = silent
        engine = make_engine(proxy.url, connect_args=limits)
        connecting = asyncio.create_task(select(engine))
        if "command_timeout" in limits:
            async with asyncio.timeout(DEADLINE):
                with pytest.raises(TimeoutError):
                    await connecting
        else:
            async with asyncio.timeout(DEADLINE):
                await logged_in.wait()
            _, still = await asyncio.wait([connecting], timeout=limits["timeout"] + 0.2)
            assert still, "connect_args timeout ended what came after the login"
            connecting.cancel()
            await asyncio.wait([connecting])


async def test_with_psycopg_connecting_in_vain_is_an_operational_error(
    make_engine: MakeEngine,
) -> None:
    with socket.create_server(("127.0.0.1", 0)) as silent:  # it never answers
        url = f"postgresql+psycopg://guest@127.0.0.1:{silent.getsockname()[1]}/teahouse"
        engine = make_engine(url, connect_args={"connect_timeout": 2})  # the least it takes
        with pytest.raises(exc.OperationalError, match="connection timeout expired"):
            await engine.connect()


def test_the_timeouts_of_httpx_are_not_the_built_in_one() -> None:
    assert not issubclass(httpx.TimeoutException, TimeoutError)


# Fairness

Loop = Callable[[AsyncEngine, Callable[[], None]], Coroutine[None, None, None]]
STEPS = 6


async def commit(engine: AsyncEngine, done: Callable[[], None]) -> None:
    async with AsyncSession(engine) as session:
        for _ in range(STEPS):
            await session.execute(SELECT)
            done()
            await session.commit()


async def begin_of_one_session(engine: AsyncEngine, done: Callable[[], None]) -> None:
    async with AsyncSession(engine) as session:
        for _ in range(STEPS):
            async with session.begin():
                await session.execute(SELECT)
                done()


async def close_by_hand(engine: AsyncEngine, done: Callable[[], None]) -> None:
    for _ in range(STEPS):
        connection = await engine.connect()
        await connection.execute(SELECT)
        done()
        await connection.close()


async def close_the_session_by_hand(engine: AsyncEngine, done: Callable[[], None]) -> None:
    for _ in range(STEPS):
        session = AsyncSession(engine)
        await session.execute(SELECT)
        done()
        await session.close()


async def a_session_each(engine: AsyncEngine, done: Callable[[], None]) -> None:
    for _ in range(STEPS):
        async with AsyncSession(engine) as session:
            await session.execute(SELECT)
            done()


async def begin_of_the_factory(engine: AsyncEngine, done: Callable[[], None]) -> None:
    for _ in range(STEPS):
        async with async_sessionmaker(engine).begin() as session:
            await session.execute(SELECT)
            done()


async def commit_and_pause(engine: AsyncEngine, done: Callable[[], None]) -> None:
    async with AsyncSession(engine) as session:
        for _ in range(STEPS):
            await session.execute(SELECT)
            done()
            await session.commit()
            await asyncio.sleep(0)


async def turns(engine: AsyncEngine, loop: Loop) -> list[str]:
    """Who was served when, with two guests who wait from the first step on."""
    served: list[str] = []
    begun = asyncio.Event()

    def done() -> None:
        served.append("step")
        begun.set()

    async def guest(name: str) -> None:
        await begun.wait()
        await select(engine)
        served.append(name)

    await asyncio.gather(loop(engine, done), guest("first"), guest("second"))
    await engine.dispose()
    return served


@pytest.mark.parametrize(
    "loop", [commit, begin_of_one_session, close_by_hand, close_the_session_by_hand]
)
async def test_who_returns_and_borrows_without_a_pause_starves_the_others(
    make_engine: MakeEngine, loop: Loop
) -> None:
    served = await turns(one_connection(make_engine, pool_timeout=30), loop)
    assert served[:STEPS] == ["step"] * STEPS


@pytest.mark.parametrize("loop", [a_session_each, begin_of_the_factory, commit_and_pause])
async def test_who_leaves_a_block_or_pauses_lets_the_others_go_first(
    make_engine: MakeEngine, loop: Loop
) -> None:
    served = await turns(one_connection(make_engine, pool_timeout=30), loop)
    assert served[:3] == ["step", "first", "second"]


async def test_a_starved_task_goes_to_the_end_of_the_queue(make_engine: MakeEngine) -> None:
    served = await turns(one_connection(make_engine, pool_timeout=30), commit)
    assert served[STEPS:] == ["second", "first"]


async def test_it_takes_as_many_such_jobs_as_connections(make_engine: MakeEngine) -> None:
    engine = make_engine(pool_size=2, max_overflow=0)
    other_lent, leave = asyncio.Event(), asyncio.Event()

    async def other() -> None:
        async with engine.connect():
            other_lent.set()
            await leave.wait()

    holding = asyncio.create_task(other())
    await other_lent.wait()
    served = asyncio.Event()

    async def job() -> None:
        async with AsyncSession(engine) as session:
            while not served.is_set():
                await session.execute(SELECT)
                leave.set()
                await session.commit()

    async def guest() -> None:
        await leave.wait()
        await select(engine)
        served.set()

    async with asyncio.timeout(DEADLINE):
        await asyncio.gather(job(), guest(), holding)


# A deadline


async def test_every_transaction_of_a_session_may_wait_anew(make_engine: MakeEngine) -> None:
    engine = one_connection(make_engine, pool_timeout=2)
    happened = record(engine, "checkout", "checkin")

    async def hold() -> None:
        async with engine.connect():
            await asyncio.sleep(1.1)  # twice that is longer than pool_timeout

    async with AsyncSession(engine) as session:
        for _ in range(2):
            holding = asyncio.create_task(hold())
            await asyncio.sleep(0)
            await session.execute(SELECT)
            await session.commit()
            await holding
    assert happened == ["checkout", "checkin"] * 4  # each waited for the other's return


async def test_a_statement_timeout_is_known_by_its_sqlstate(make_engine: MakeEngine) -> None:
    engine = make_engine()
    async with engine.connect() as connection:
        await connection.execute(text("SET LOCAL statement_timeout = '50ms'"))
        with pytest.raises(exc.DBAPIError) as caught:
            await connection.execute(text("SELECT pg_sleep(60)"))
    assert getattr(caught.value.orig, "sqlstate", "") == "57014"


async def test_a_deadline_begins_with_its_dependency(make_engine: MakeEngine) -> None:
    engine, app = make_engine(), FastAPI()

    async def get_session() -> AsyncIterator[AsyncSession]:
        async with asyncio.timeout(3), AsyncSession(engine) as session:
            yield session

    async def slow() -> None:
        await asyncio.sleep(3.2)

    @app.get("/", dependencies=[Depends(slow)])
    async def order(session: Annotated[AsyncSession, Depends(get_session)]) -> str:
        return str(await session.scalar(SELECT))

    async with httpx.AsyncClient(
        transport=httpx.ASGITransport(app), base_url="http://teahouse"
    ) as client:
        assert (await client.get("/")).status_code == 200
    await engine.dispose()


async def test_a_deadline_in_the_dependency_covers_a_stream_to_its_end(
    make_engine: MakeEngine,
) -> None:
    engine, app = make_engine(), FastAPI()

    async def get_session() -> AsyncIterator[AsyncSession]:
        async with asyncio.timeout(0.3), AsyncSession(engine) as session:
            yield session

    @app.get("/")
    async def stream(session: Annotated[AsyncSession, Depends(get_session)]) -> StreamingResponse:
        async def drinks() -> AsyncIterator[str]:
            yield "longjing"
            await asyncio.Event().wait()

        return StreamingResponse(drinks())

    async with httpx.AsyncClient(
        transport=httpx.ASGITransport(app), base_url="http://teahouse"
    ) as client:
        with pytest.raises(TimeoutError):
            await client.get("/")
    await engine.dispose()


@pytest.mark.parametrize(("scope", "outcome"), [("request", "cancelled"), ("function", "finished")])
async def test_a_deadline_in_the_dependency_cancels_background_tasks(
    make_engine: MakeEngine, scope: Literal["request", "function"], outcome: str
) -> None:
    engine, app, outcomes = make_engine(), FastAPI(), list[str]()

    async def get_session() -> AsyncIterator[AsyncSession]:
        async with asyncio.timeout(0.3), AsyncSession(engine) as session:
            yield session

    async def invoice() -> None:
        try:
            await asyncio.sleep(1)
            outcomes.append("finished")
        except asyncio.CancelledError:
            outcomes.append("cancelled")
            raise

    @app.get("/")
    async def order(
        _: Annotated[AsyncSession, Depends(get_session, scope=scope)], tasks: BackgroundTasks
    ) -> str:
        tasks.add_task(invoice)
        return "oolong"

    async with httpx.AsyncClient(
        transport=httpx.ASGITransport(app, raise_app_exceptions=False), base_url="http://teahouse"
    ) as client:
        assert (await client.get("/")).status_code == 200
    assert outcomes == [outcome]
    await engine.dispose()


# What the page tells to ask


@pytest.mark.parametrize("language", LANGUAGES)
async def test_the_query_of_the_page_shows_what_the_lent_connections_do(
    make_engine: MakeEngine, language: str
) -> None:
    [query] = sql_fences("pool/timeout", language)
    waits, auto, broken, asks = (make_engine() for _ in range(4))
    async with waits.connect() as first, auto.connect() as second, broken.connect() as third:
        await first.execute(SELECT)
        await second.execution_options(isolation_level="AUTOCOMMIT")
        await second.execute(text("SELECT 'longjing'"))
        with pytest.raises(exc.DBAPIError):
            await third.execute(text("SELECT 1 / 0"))
        async with asks.connect() as connection:
            rows = (await connection.execute(text(query))).all()
            states = {row.query: row.state for row in rows}
        assert states["SELECT 'oolong'"] == "idle in transaction"
        assert states["SELECT 'longjing'"] == "idle"
        assert states["SELECT 1 / 0"] == "idle in transaction (aborted)"
        assert checked_out(auto) == 1
    for engine in (waits, auto, broken, asks):
        await engine.dispose()


# Who goes first


async def test_who_asks_in_the_turn_of_a_return_goes_before_those_who_wait(
    make_engine: MakeEngine,
) -> None:
    engine, served = one_connection(make_engine, pool_timeout=30), list[str]()

    async def guest(name: str) -> None:
        async with engine.connect():
            served.append(name)

    first = await engine.connect()
    waiting = asyncio.create_task(guest("waited"))
    await asyncio.sleep(0)
    returning = asyncio.create_task(first.close())
    newcomer = asyncio.create_task(guest("newcomer"))
    await asyncio.gather(waiting, returning, newcomer)
    assert served == ["newcomer", "waited"]
