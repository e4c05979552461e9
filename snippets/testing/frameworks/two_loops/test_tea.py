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
