"""What the page of version notes says of SQLAlchemy 2.0 and 2.1, run with either."""

import re
from importlib.metadata import metadata, requires

import asyncpg  # type: ignore[import-untyped]
import pytest
import sqlalchemy.pool
from sqlalchemy import QueuePool, make_url
from sqlalchemy.exc import ArgumentError, DBAPIError
from sqlalchemy.ext.asyncio import create_async_engine

from tests.pools import MakeEngine
from tests.versions import IS_2_0
from tools.postgres import free_port


def test_only_2_0_brings_greenlet_without_an_extra() -> None:
    needed = [need for need in requires("sqlalchemy") or [] if "extra ==" not in need]
    assert any(need.startswith("greenlet") for need in needed) is IS_2_0


def test_2_1_requires_python_3_11() -> None:
    assert (metadata("sqlalchemy")["Requires-Python"] == ">=3.11") is not IS_2_0


def test_a_bare_url_takes_psycopg2_in_2_0_and_psycopg_in_2_1() -> None:
    dialect = make_url("postgresql://example.com/teahouse").get_dialect()
    assert dialect.driver == ("psycopg2" if IS_2_0 else "psycopg")


async def test_a_refused_connection_is_wrapped_in_2_1(
    database_url: str, make_engine: MakeEngine
) -> None:
    engine = make_engine(make_url(database_url).set(database="there_is_none"))
    refused = asyncpg.InvalidCatalogNameError if IS_2_0 else DBAPIError
    with pytest.raises(refused):
        await engine.connect()


async def test_a_port_without_a_server_is_an_os_error_in_both(make_engine: MakeEngine) -> None:
    engine = make_engine(f"postgresql+asyncpg://tea@127.0.0.1:{free_port()}/tea")
    with pytest.raises(OSError, match="Connect call failed"):
        await engine.connect()
    assert issubclass(TimeoutError, OSError)  # which is raised where no answer comes


async def test_2_0_puts_a_class_before_the_words_of_asyncpg(make_engine: MakeEngine) -> None:
    async with make_engine().connect() as connection:
        with pytest.raises(DBAPIError) as failure:
            await connection.exec_driver_sql("SELECT 1 / 0")
    assert bool(re.match("<class ", str(failure.value.orig))) is IS_2_0


def test_the_fallback_pool_is_gone_in_2_1() -> None:
    assert hasattr(sqlalchemy.pool, "FallbackAsyncAdaptedQueuePool") is IS_2_0


def test_an_async_engine_refuses_queue_pool(database_url: str) -> None:
    with pytest.raises(ArgumentError, match="cannot be used with asyncio engine"):
        create_async_engine(database_url, poolclass=QueuePool)
