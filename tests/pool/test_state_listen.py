"""What the page on a connection's state says of LISTEN and NOTIFY."""

import asyncio
from socket import SO_KEEPALIVE, SOL_SOCKET
from typing import Any

import pytest
from sqlalchemy import event, text
from sqlalchemy.ext.asyncio import AsyncConnection, AsyncEngine
from sqlalchemy.pool import NullPool

from tests.pools import MakeEngine, one_connection, with_psycopg
from tests.waiting import eventually
from tools.postgres import Proxy

SELECT = text("SELECT 'oolong'")


@pytest.fixture
def engine(make_engine: MakeEngine) -> AsyncEngine:
    return one_connection(make_engine)


async def listen(connection: AsyncConnection) -> asyncio.Queue[str]:
    """What arrives on the channel of the kitchen, on this connection."""
    heard = asyncio.Queue[str]()
    driver: Any = (await connection.get_raw_connection()).driver_connection
    await driver.add_listener("kitchen", lambda *said: heard.put_nowait(said[3]))
    return heard


async def call_out(watcher: AsyncConnection, drink: str) -> None:
    await watcher.execute(text(f"NOTIFY kitchen, '{drink}'"))


async def channels(connection: AsyncConnection) -> list[str]:
    return list(await connection.scalars(text("SELECT pg_listening_channels()")))


@pytest.mark.parametrize("way", ["recycled", "cleaned", "kept"])
async def test_a_listener_of_a_pooled_connection_goes_when_the_pool_renews_or_cleans_it(
    make_engine: MakeEngine, way: str
) -> None:
    engine = one_connection(make_engine, pool_recycle=0 if way == "recycled" else -1)
    if way == "cleaned":
        event.listen(
            engine.sync_engine,
            "reset",
            lambda connection, _, __: connection.run_async(
                lambda driver: driver.execute("UNLISTEN *")
            ),
        )
    async with engine.connect() as connection:
        await listen(connection)
    async with engine.connect() as connection:
        assert await channels(connection) == (["kitchen"] if way == "kept" else [])


async def test_a_notification_waits_for_the_end_of_the_listeners_transaction(
    engine: AsyncEngine, watcher: AsyncConnection
) -> None:
    async with engine.connect() as connection:
        heard = await listen(connection)
        await connection.execute(SELECT)
        await call_out(watcher, "oolong")
        await connection.execute(SELECT)
        assert heard.empty()
        await connection.commit()
        assert await asyncio.wait_for(heard.get(), 60) == "oolong"


async def test_what_is_sent_after_the_listeners_connection_broke_is_lost(
    make_engine: MakeEngine, watcher: AsyncConnection
) -> None:
    keeper = make_engine(poolclass=NullPool, isolation_level="AUTOCOMMIT")
    ended = asyncio.Event()
    async with keeper.connect() as connection:
        heard = await listen(connection)
        driver: Any = (await connection.get_raw_connection()).driver_connection
        driver.add_termination_listener(lambda _: ended.set())
        pid = driver.get_server_pid()
        await watcher.execute(text(f"SELECT pg_terminate_backend({pid})"))
        await asyncio.wait_for(ended.wait(), 60)
        await call_out(watcher, "oolong")
    async with keeper.connect() as connection:
        again = await listen(connection)
        await call_out(watcher, "longjing")
        assert await asyncio.wait_for(again.get(), 60) == "longjing"
    assert heard.empty()


async def test_a_silent_line_is_noticed_by_a_query_with_a_timeout_alone(
    make_engine: MakeEngine, database_url: str
) -> None:
    async with Proxy(database_url) as proxy:
        keeper = make_engine(proxy.url, poolclass=NullPool, isolation_level="AUTOCOMMIT")
        async with keeper.connect() as connection:
            await listen(connection)
            driver: Any = (await connection.get_raw_connection()).driver_connection
            ended = asyncio.Event()
            driver.add_termination_listener(lambda _: ended.set())
            line = driver._transport.get_extra_info("socket")
            assert line.getsockopt(SOL_SOCKET, SO_KEEPALIVE) == 0  # so nobody asks
            proxy.swallow()
            with pytest.raises(TimeoutError):
                await driver.fetchval("SELECT 1", timeout=0.2)
            assert not ended.is_set()
            await eventually("the cancel request is let in", lambda: len(proxy.clients) == 2)
            driver.terminate()


async def test_a_callback_may_be_async_and_then_each_message_is_a_task(
    make_engine: MakeEngine, watcher: AsyncConnection
) -> None:
    heard = asyncio.Queue[str]()
    second = asyncio.Event()

    async def hear(*said: Any) -> None:
        if said[3] == "oolong":  # the first message ends after the second
            await second.wait()
        heard.put_nowait(said[3])
        second.set()

    keeper = make_engine(poolclass=NullPool, isolation_level="AUTOCOMMIT")
    async with keeper.connect() as connection:
        driver: Any = (await connection.get_raw_connection()).driver_connection
        await driver.add_listener("kitchen", hear)
        for drink in ("oolong", "longjing"):
            await call_out(watcher, drink)
        said = [await asyncio.wait_for(heard.get(), 60) for _ in range(2)]
    assert said == ["longjing", "oolong"]


async def test_what_an_async_callback_raises_goes_to_the_log_of_asyncio_alone(
    make_engine: MakeEngine, watcher: AsyncConnection, caplog: pytest.LogCaptureFixture
) -> None:
    async def fail(*_: Any) -> None:
        raise ZeroDivisionError

    keeper = make_engine(poolclass=NullPool, isolation_level="AUTOCOMMIT")
    async with keeper.connect() as connection:
        driver: Any = (await connection.get_raw_connection()).driver_connection
        await driver.add_listener("kitchen", fail)
        await call_out(watcher, "oolong")
        await eventually("asyncio has logged it", lambda: "ZeroDivisionError" in caplog.text)
        await connection.execute(SELECT)
    assert {record.name for record in caplog.records} == {"asyncio"}


async def test_a_notification_of_a_transaction_that_is_rolled_back_is_not_sent(
    engine: AsyncEngine, make_engine: MakeEngine, watcher: AsyncConnection
) -> None:
    async with make_engine(isolation_level="AUTOCOMMIT").connect() as connection:
        heard = await listen(connection)
        async with engine.connect() as sender:
            await call_out(sender, "oolong")
        await call_out(watcher, "longjing")
        assert await asyncio.wait_for(heard.get(), 60) == "longjing"


async def test_psycopg_reads_notifications_of_a_connection_in_autocommit(
    make_engine: MakeEngine, database_url: str, watcher: AsyncConnection
) -> None:
    keeper = make_engine(
        with_psycopg(database_url), poolclass=NullPool, isolation_level="AUTOCOMMIT"
    )
    async with keeper.connect() as connection:
        await connection.execute(text("LISTEN kitchen"))
        await call_out(watcher, "oolong")
        driver: Any = (await connection.get_raw_connection()).driver_connection
        said = [each.payload async for each in driver.notifies(timeout=60, stop_after=1)]
    assert said == ["oolong"]
