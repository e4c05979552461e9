"""A folder with migrations as `alembic init -t async` makes it, and our env.py.

`alembic init -t async` 建出的迁移目录，换上我们的 env.py。
"""

import asyncio
import shutil
from collections.abc import Iterator
from pathlib import Path

import pytest
from alembic import command
from alembic.config import Config
from sqlalchemy import text
from sqlalchemy.ext.asyncio import create_async_engine

from shop import SCHEMA, URL


async def execute(statement: str) -> None:
    engine = create_async_engine(URL)
    async with engine.begin() as connection:
        await connection.execute(text(statement))
    await engine.dispose()


@pytest.fixture
def config(tmp_path: Path) -> Iterator[Config]:
    made = Config(str(tmp_path / "alembic.ini"))
    asyncio.run(execute(f"CREATE SCHEMA {SCHEMA}"))
    command.init(made, str(tmp_path / "migrations"), template="async")
    shutil.copy("env.py", tmp_path / "migrations")
    command.revision(made, "orders", autogenerate=True)
    yield made
    asyncio.run(execute(f"DROP SCHEMA {SCHEMA} CASCADE"))
