"""What a fixture left in the pool in its own loop fails in that of TestClient.

夹具在自己的事件循环里留在池里的连接，到 TestClient 的循环里就报错。
"""

import pytest_asyncio
from fastapi.testclient import TestClient
from sqlalchemy import text

from shop import app, engine


async def seed() -> None:
    async with engine.connect() as connection:
        await connection.execute(text("SELECT 'a row for the test'"))


@pytest_asyncio.fixture
async def seeded() -> None:
    await seed()


def test_seeded_in_the_loop_of_the_client() -> None:
    with TestClient(app) as client:
        assert client.portal
        client.portal.call(seed)
        assert client.get("/").json() == "longjing"


def test_seeded_in_the_loop_of_pytest(seeded: None) -> None:
    with TestClient(app) as client:
        assert client.get("/").json() == "longjing"


#> ERROR    sqlalchemy.pool.impl.AsyncAdaptedQueuePool:base.py:389 Exception closing connection <AdaptedConnection <asyncpg.connection.Connection object at 0x…>>
#> ERROR    asyncio:base_events.py:1771 Future exception was never retrieved
#> FAILED test_tea.py::test_seeded_in_the_loop_of_pytest - RuntimeError: Task <Task pending name='anyio.from_thread.BlockingPortal._call_func' coro=<TaskHandle._run_coro() running at _tasks.py:…> cb=[TaskGroup._spawn.<locals>.task_done() at _asyncio.py:…]> got Future <Future pending cb=[BaseProtocol._on_waiter_completed()]> attached to a different loop
#> 1 failed, 1 passed, 1 warning
