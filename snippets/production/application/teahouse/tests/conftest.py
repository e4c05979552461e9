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
from sqlalchemy.ext.asyncio import AsyncConnection

from teahouse.app import app, lifespan
from teahouse.database import make_engine
from teahouse.settings import read_settings

URL = "http://teahouse"
MODE = "create_savepoint"
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
    http = httpx.AsyncClient(transport=httpx.ASGITransport(app), base_url=URL)
    async with lifespan(app), http as client:
        sessions = app.state.sessions
        sessions.configure(bind=database, join_transaction_mode=MODE)
        outer = await database.begin_nested()
        yield client
        await outer.rollback()
