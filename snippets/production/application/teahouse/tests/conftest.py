"""Migrations, requests and rows, all in one transaction that nobody commits.

迁移、请求、数据都在一个永不提交的事务里。
"""

from collections.abc import AsyncIterator
from secrets import token_hex

import httpx
import pytest_asyncio
from alembic import command
from alembic.config import Config
from sqlalchemy import Connection, text
from sqlalchemy.ext.asyncio import AsyncConnection, AsyncSession

from teahouse.app import app, lifespan
from teahouse.database import get_session, make_engine
from teahouse.settings import read_settings

SCHEMA = f"guide_tests_{token_hex(4)}"


def migrate(connection: Connection) -> None:
    config = Config(toml_file="pyproject.toml")
    config.attributes["connection"] = connection
    command.upgrade(config, "head")
    command.check(config)  # the models say the same


@pytest_asyncio.fixture(scope="session")
async def database() -> AsyncIterator[AsyncConnection]:
    engine = make_engine(read_settings())
    async with engine.connect() as connection:
        await connection.execute(text(f"CREATE SCHEMA {SCHEMA}"))
        await connection.execute(text(f"SET LOCAL search_path TO {SCHEMA}"))
        await connection.run_sync(migrate)
        yield connection
    await engine.dispose()


@pytest_asyncio.fixture
async def client(database: AsyncConnection) -> AsyncIterator[httpx.AsyncClient]:
    async def session() -> AsyncIterator[AsyncSession]:
        mode = "create_savepoint"
        async with AsyncSession(
            database, join_transaction_mode=mode, expire_on_commit=False
        ) as session:
            yield session

    app.dependency_overrides[get_session] = session
    transport = httpx.ASGITransport(app)
    async with (
        lifespan(app),
        httpx.AsyncClient(
            transport=transport, base_url="http://test"
        ) as client,
    ):
        outer = await database.begin_nested()
        yield client
        await outer.rollback()
