"""What the page on `pool_size` says beyond what its snippets print."""

import asyncio
import re
import socket
from collections.abc import Iterator
from contextlib import AsyncExitStack
from typing import Any

import pytest
import sqlalchemy
from sqlalchemy import QueuePool, exc, text
from sqlalchemy.ext.asyncio import AsyncEngine, async_sessionmaker, create_async_engine
from sqlalchemy.pool import NullPool

from tests.asking import OTHERS
from tests.pools import MakeEngine, borrow, leaves_open, pool_of, record
from tests.versions import IS_2_0
from tools.paths import DOCS
from tools.postgres import EmbeddedPostgres


async def test_an_engine_keeps_five_lends_ten_more_and_waits_thirty_seconds(
    make_engine: MakeEngine,
) -> None:
    pool = pool_of(make_engine())
    assert (pool.size(), pool._max_overflow, pool.timeout()) == (5, 10, 30.0)


async def test_nothing_closes_an_idle_pooled_connection(make_engine: MakeEngine) -> None:
    engine = make_engine(pool_size=3, pool_recycle=1)
    async with AsyncExitStack() as lent:
        await borrow(engine, 3, lent)
    watcher = make_engine(poolclass=NullPool)
    await asyncio.sleep(1.5)  # past pool_recycle, which nobody watches over
    async with watcher.connect() as connection:
        assert await connection.scalar(OTHERS) == 3


async def test_a_connection_that_comes_back_goes_to_the_task_that_waits(
    make_engine: MakeEngine,
) -> None:
    engine = make_engine(pool_size=1, max_overflow=0)
    first = await engine.connect()
    pid = await first.scalar(text("SELECT pg_backend_pid()"))

    async def wait_for_one() -> object:
        async with engine.connect() as second:
            return await second.scalar(text("SELECT pg_backend_pid()"))

    waiting = asyncio.create_task(wait_for_one())
    await asyncio.sleep(0)
    assert not waiting.done()
    await first.close()
    assert await waiting == pid


async def test_the_pool_timeout_error_is_neither_built_in_nor_the_databases(
    make_engine: MakeEngine,
) -> None:
    engine = make_engine(pool_size=1, max_overflow=0, pool_timeout=0)
    async with engine.connect():
        with pytest.raises(exc.TimeoutError, match=r"size 1 overflow 0 .* timeout 0\.00") as caught:
            await engine.connect()
    assert not isinstance(caught.value, TimeoutError | exc.DBAPIError)


async def test_a_pool_timeout_of_zero_fails_if_all_are_lent_and_not_if_one_is_idle(
    make_engine: MakeEngine,
) -> None:
    engine = make_engine(pool_size=1, max_overflow=1, pool_timeout=0)
    first, second = await engine.connect(), await engine.connect()
    with pytest.raises(exc.TimeoutError):
        await engine.connect()
    await first.close()  # no room for another, and this one idle
    async with engine.connect():
        pass
    await second.close()


async def test_without_a_pool_timeout_a_task_waits_on(make_engine: MakeEngine) -> None:
    engine = make_engine(pool_size=1, max_overflow=0, pool_timeout=None)
    async with engine.connect():
        with pytest.raises(TimeoutError):
            async with asyncio.timeout(0.2), engine.connect():
                pass


async def test_pool_timeout_does_not_count_the_time_it_takes_to_connect() -> None:
    silent = socket.create_server(("127.0.0.1", 0))  # connects, and says nothing
    port = silent.getsockname()[1]
    engine = create_async_engine(
        f"postgresql+asyncpg://guest@127.0.0.1:{port}/teahouse",
        pool_timeout=0.01,
        connect_args={"timeout": 0.3},
    )
    with pytest.raises(TimeoutError) as raised:  # asyncpg's own, after thirty times as long
        await engine.connect()
    assert not isinstance(raised.value, exc.TimeoutError)
    silent.close()


async def test_an_async_engine_refuses_the_queue_pool_of_the_sync_one(
    make_engine: MakeEngine,
) -> None:
    with pytest.raises(
        exc.ArgumentError, match="Pool class QueuePool cannot be used with asyncio engine"
    ):
        make_engine(poolclass=QueuePool)


async def test_no_overflow_means_never_more_than_pool_size(make_engine: MakeEngine) -> None:
    engine = make_engine(pool_size=2, max_overflow=0, pool_timeout=0)
    async with AsyncExitStack() as lent:
        await borrow(engine, 2, lent)
        with pytest.raises(exc.TimeoutError):
            await borrow(engine, 1, lent)


async def test_unlimited_overflow_still_keeps_only_pool_size(make_engine: MakeEngine) -> None:
    engine = make_engine(pool_size=2, max_overflow=-1)
    async with AsyncExitStack() as lent:
        await borrow(engine, 20, lent)
    assert pool_of(engine).checkedin() == 2


@pytest.mark.parametrize("pool_size", [2, 4])
async def test_a_leak_empties_a_pool_of_any_size(make_engine: MakeEngine, pool_size: int) -> None:
    engine = make_engine(pool_size=pool_size, max_overflow=0, pool_timeout=0)
    sessions = async_sessionmaker(engine)
    forgotten = [sessions() for _ in range(pool_size + 1)]
    for session in forgotten[:-1]:
        await session.execute(text("SELECT 'longjing'"))
    with pytest.raises(exc.TimeoutError):
        await forgotten[-1].execute(text("SELECT 'longjing'"))
    for session in forgotten:
        await session.close()


@pytest.mark.parametrize(("pool_size", "pool_timeout", "enough"), [(5, 0.5, False), (6, 30, True)])
async def test_five_tasks_with_two_sessions_each_need_a_pool_of_six(
    make_engine: MakeEngine, pool_size: int, pool_timeout: float, enough: bool
) -> None:
    engine = make_engine(pool_size=pool_size, max_overflow=0, pool_timeout=pool_timeout)
    sessions, everyone = async_sessionmaker(engine), asyncio.Barrier(5)

    async def guest() -> None:
        async with sessions() as outer:
            await outer.execute(text("SELECT 'oolong'"))
            await everyone.wait()
            async with sessions() as inner:
                await inner.execute(text("SELECT 'pu-erh'"))

    outcomes = await asyncio.gather(*(guest() for _ in range(5)), return_exceptions=True)
    assert all(outcome is None for outcome in outcomes) is enough


async def test_a_large_pool_opens_nothing_in_advance_and_keeps_what_a_rush_opened(
    make_engine: MakeEngine,
) -> None:
    engine = make_engine(pool_size=100)
    opened = record(engine, "connect", "close")
    assert opened == []
    async with AsyncExitStack() as lent:
        await borrow(engine, 20, lent)
    assert opened == ["connect"] * 20
    assert pool_of(engine).checkedin() == 20


async def test_two_engines_of_one_process_have_two_pools(make_engine: MakeEngine) -> None:
    one, two = (make_engine(pool_size=1, max_overflow=0, pool_timeout=0) for _ in range(2))
    async with one.connect(), two.connect():
        assert one.pool.status() == two.pool.status()
    await one.dispose()
    await two.dispose()


@leaves_open
async def test_what_is_lent_at_dispose_does_not_count_in_the_new_pool(
    make_engine: MakeEngine,
) -> None:
    engine = make_engine(pool_size=2, max_overflow=1, pool_timeout=0)
    watcher = make_engine(poolclass=NullPool)
    async with AsyncExitStack() as lent:
        await borrow(engine, 2 + 1, lent)
        await engine.dispose()
        await borrow(engine, 2 + 1, lent)
        async with watcher.connect() as connection:
            assert await connection.scalar(OTHERS) == 2 * (2 + 1)


def worked_budgets() -> Iterator[tuple[int, ...]]:
    """The numbers of the page's table: processes, pool_size, max_overflow, at most."""
    page = (DOCS / "en" / "pool" / "size.md").read_text("utf-8")
    for row in re.findall(r"^\| (\d+) \| (\d+) \+ (\d+) \| (\d+) \|", page, re.MULTILINE):
        yield tuple(map(int, row))


def test_the_worked_budgets_add_up() -> None:
    budgets = list(worked_budgets())
    assert len(budgets) == 5
    for processes, pool_size, max_overflow, at_most in budgets:
        assert processes * (pool_size + max_overflow) == at_most


async def test_postgresql_ships_with_a_hundred_connections_three_of_them_reserved(
    make_engine: MakeEngine,
) -> None:
    engine = make_engine()
    shipped = text(
        "SELECT name, boot_val FROM pg_settings"
        " WHERE name IN ('max_connections', 'superuser_reserved_connections')"
    )
    async with engine.connect() as connection:
        found = {row.name: row.boot_val for row in await connection.execute(shipped)}
    assert found == {"max_connections": "100", "superuser_reserved_connections": "3"}


async def refusal(engine: AsyncEngine) -> Exception:
    """What the server says when a pool asks for more connections than it gives."""
    async with AsyncExitStack() as lent:
        try:
            await borrow(engine, 50, lent)
        except Exception as error:
            return error
    pytest.fail("the server gave 50 connections")


def sqlstate(error: Any) -> str:
    """The code of an error of asyncpg, wrapped by SQLAlchemy or not."""
    return str(getattr(error, "orig", error).sqlstate)


async def test_a_pool_larger_than_the_server_meets_the_servers_limit() -> None:
    with EmbeddedPostgres(max_connections="10", reserved_connections="0") as server:
        superuser = create_async_engine(server.url(), pool_size=50)
        async with superuser.begin() as connection:
            await connection.execute(text("CREATE ROLE guest LOGIN PASSWORD 'tea'"))
        guest = create_async_engine(
            sqlalchemy.make_url(server.url()).set(username="guest", password="tea"), pool_size=50
        )
        await superuser.dispose()
        refused = await refusal(guest)
        assert "remaining connection slots are reserved" in str(refused)
        await guest.dispose()
        full = await refusal(superuser)
        assert "sorry, too many clients already" in str(full)
        await superuser.dispose()
    assert sqlstate(refused) == sqlstate(full) == "53300"
    wrapped = not IS_2_0
    assert isinstance(full, exc.DBAPIError) is wrapped


async def test_a_pool_of_no_connections_takes_no_size() -> None:
    with pytest.raises(TypeError, match=r"Invalid argument\(s\) 'pool_size' sent to create_engine"):
        create_async_engine("postgresql+asyncpg://", poolclass=NullPool, pool_size=5)
