"""What the page of rules claims beyond what its snippets print."""

import asyncio
from collections.abc import Iterator
from contextlib import suppress

import pytest
from sqlalchemy import exc, text
from sqlalchemy.ext.asyncio import AsyncConnection, AsyncEngine, AsyncSession, create_async_engine
from sqlalchemy.pool import NullPool

from tests.pools import MakeEngine, checked_out, one_connection
from tools.postgres import EmbeddedPostgres

TASKS = 12


@pytest.fixture(scope="module")
def small() -> Iterator[EmbeddedPostgres]:
    """A server with slots for half of the tasks."""
    with EmbeddedPostgres(max_connections="6", reserved_connections="0") as server:
        yield server


async def order(engine: AsyncEngine) -> object:
    async with engine.connect() as connection:
        return await connection.scalar(text("SELECT 'oolong'"))


async def connect(engine: AsyncEngine) -> AsyncConnection:
    return await engine.connect()


async def test_a_pool_that_fits_lets_all_tasks_wait_for_a_full_server(
    small: EmbeddedPostgres,
) -> None:
    engine = create_async_engine(small.url(), pool_size=4, max_overflow=0)
    assert await asyncio.gather(*(order(engine) for _ in range(TASKS))) == ["oolong"] * TASKS
    await engine.dispose()


async def test_null_pool_lets_the_server_refuse_some(small: EmbeddedPostgres) -> None:
    engine = create_async_engine(small.url(), poolclass=NullPool)
    tasks = (connect(engine) for _ in range(TASKS))
    outcomes = await asyncio.gather(*tasks, return_exceptions=True)
    served = [outcome for outcome in outcomes if isinstance(outcome, AsyncConnection)]
    refused = [str(outcome) for outcome in outcomes if isinstance(outcome, Exception)]
    for connection in served:
        await connection.close()
    assert len(served) <= 6
    assert len(refused) == TASKS - len(served)
    assert all("sorry, too many clients already" in message for message in refused)


async def test_a_caught_error_does_not_free_the_connection(make_engine: MakeEngine) -> None:
    engine = make_engine()
    session = AsyncSession(engine)
    with suppress(exc.DBAPIError):
        await session.execute(text("SELECT 1 / 0"))
    assert checked_out(engine) == 1
    with pytest.raises(exc.DBAPIError, match="current transaction is aborted"):
        await session.execute(text("SELECT 1"))
    assert checked_out(engine) == 1
    await session.rollback()
    assert checked_out(engine) == 0


async def test_a_cache_asked_inside_a_transaction_does_not_spare_the_connection(
    make_engine: MakeEngine,
) -> None:
    engine = one_connection(make_engine)
    asked, answered = asyncio.Event(), asyncio.Event()

    async def handle() -> None:
        async with AsyncSession(engine) as session:
            await session.execute(text("SELECT 'who are you'"))
            asked.set()
            await answered.wait()  # for Redis

    request = asyncio.create_task(handle())
    await asked.wait()
    with pytest.raises(exc.TimeoutError, match="QueuePool limit of size 1"):
        await order(engine)
    answered.set()
    await request
    assert await order(engine) == "oolong"
