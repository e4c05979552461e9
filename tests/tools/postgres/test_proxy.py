"""The proxy does to its lines what it says, and passes on everything else."""

import asyncio
from collections.abc import AsyncIterator
from typing import Any

import asyncpg  # type: ignore[import-untyped]
import pytest
from sqlalchemy import text
from sqlalchemy.ext.asyncio import AsyncConnection, AsyncEngine

from tests.pools import MakeEngine
from tests.waiting import eventually
from tools.postgres import Proxy, dsn_of

LOST = asyncpg.PostgresConnectionError, asyncpg.InterfaceError, OSError


@pytest.fixture
async def proxy(database_url: str) -> AsyncIterator[Proxy]:
    async with Proxy(database_url) as proxy:
        yield proxy


async def connect(proxy: Proxy) -> Any:
    return await asyncpg.connect(dsn_of(proxy.url))


async def is_silent(line: Any) -> bool:
    """Whether no answer comes, after which the line is closed."""
    try:
        await line.execute("SELECT 1", timeout=0.3)
    except TimeoutError:
        return True
    finally:
        line.terminate()
    return False


async def test_it_passes_on_what_both_say_and_counts_the_turns(proxy: Proxy) -> None:
    line = await connect(proxy)
    proxy.turns.clear()
    rows = await line.fetch("SELECT repeat('tea', 100000) FROM generate_series(1, 3)")
    assert [len(row[0]) for row in rows] == [300000] * 3
    await line.execute("SELECT 1")
    assert proxy.turns.count("client") == 3  # a prepared statement takes two
    await line.close()


@pytest.mark.parametrize("reset", [False, True])
async def test_a_cut_ends_the_lines_that_are_open(proxy: Proxy, reset: bool) -> None:
    line = await connect(proxy)
    proxy.cut(reset=reset)
    with pytest.raises(LOST):
        await line.execute("SELECT 1")
    line = await connect(proxy)
    assert await line.fetchval("SELECT 'oolong'") == "oolong"
    await line.close()


async def test_what_was_sent_before_a_cut_reaches_the_server(
    proxy: Proxy, watcher: AsyncConnection
) -> None:
    def cut_at_commit(_: str, data: bytes) -> bytes:
        if b"COMMIT" in data:
            proxy.cut()
        return data

    proxy.edit = cut_at_commit
    line = await connect(proxy)
    with pytest.raises(LOST):
        await line.execute("BEGIN; CREATE TABLE orders (tea text); COMMIT")
    made = text("SELECT to_regclass('orders') IS NOT NULL")
    await eventually("the transaction is committed", lambda: watcher.scalar(made))


async def test_it_swallows_on_open_lines_only(proxy: Proxy) -> None:
    line = await connect(proxy)
    proxy.swallow()
    assert await is_silent(line)
    assert not await is_silent(await connect(proxy))


async def test_what_is_held_arrives_once_it_flows(proxy: Proxy) -> None:
    line = await connect(proxy)
    proxy.flows.clear()
    asking = asyncio.create_task(line.fetchval("SELECT 'oolong'"))
    assert not (await asyncio.wait([asking], timeout=0.3))[0]
    proxy.flows.set()
    assert await asking == "oolong"
    await line.close()


async def test_it_lets_nobody_in_when_told_so(proxy: Proxy) -> None:
    proxy.accepts = False
    with pytest.raises(LOST):
        await connect(proxy)


async def test_new_lines_lead_where_the_server_is_now(
    proxy: Proxy, make_engine: MakeEngine, database_url: str
) -> None:
    async def database(engine: AsyncEngine) -> object:
        async with engine.connect() as connection:
            return await connection.scalar(text("SELECT current_database()"))

    line = await connect(proxy)
    proxy.server = proxy.server.set(host="127.0.0.1", port=1)
    assert await line.fetchval("SELECT 1") == 1
    with pytest.raises(LOST):
        await connect(proxy)
    proxy.server = proxy.server.set(port=make_engine().url.port)
    assert await database(make_engine(proxy.url)) == make_engine().url.database
    await line.close()
