"""What the page on PgBouncer says beyond what its listings print."""

import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import psycopg
import pytest
from sqlalchemy import make_url, text
from sqlalchemy.exc import DBAPIError, OperationalError
from sqlalchemy.exc import TimeoutError as PoolTimeout
from sqlalchemy.ext.asyncio import AsyncConnection, AsyncEngine

from tests.poolers import need_old_pgbouncer, need_pgbouncer
from tests.pools import MakeEngine
from tools.paths import SETTINGS_TABLE
from tools.postgres import Server
from tools.postgres.pgbouncer import Program, run_pgbouncer
from tools.proof import guests, poolers
from tools.proof.poolers import describe_pooler, format_rows, try_rows

CURE = {"statement_cache_size": 0, "prepared_statement_cache_size": 0}
LONGJING, OOLONG = text("SELECT 'longjing'"), text("SELECT 'oolong'")


@contextmanager
def pooled(database_url: str, **settings: str) -> Iterator[str]:
    """The newest PgBouncer with two connections to the server, or as the settings say."""
    with run_pgbouncer(
        database_url, need_pgbouncer(), **{"default_pool_size": "2", **settings}
    ) as url:
        yield url


async def ask(engine: AsyncEngine, query: str) -> object:
    """Ask in a transaction of its own."""
    async with engine.begin() as connection:
        result: object = await connection.scalar(text(query))
        return result


# The table


def recorded(asyncpg: str, program: Program, tracked: int) -> str:
    """The table of the record for a version of asyncpg and a PgBouncer."""
    _, *blocks = SETTINGS_TABLE.read_text("utf-8").strip().split("\n\n")
    for block in blocks:
        head, _, table = block.partition("\n")
        drivers, _, places = head.partition("; PgBouncer ")
        if asyncpg in drivers and describe_pooler(program, tracked) in places:
            return table
    pytest.fail(f"settings.txt has no table for PgBouncer {program.version}; run `tools poolers`")


def run_table(program: Program, tracked: int, server: Server) -> str:
    return format_rows(try_rows(guests.ROWS, program, tracked, server, Path(sys.executable)))


@pytest.mark.parametrize("tracked", [0, 200])
def test_the_table_is_what_comes_out_here(tracked: int, server: Server) -> None:
    newest, noted = need_pgbouncer(), Program((1, 24, 1), Path())
    assert run_table(newest, tracked, server) == recorded("0.32.0", noted, tracked)


def test_an_old_release_gives_the_table_of_0(server: Server) -> None:
    old, noted = need_old_pgbouncer(), Program((1, 24, 1), Path())
    assert run_table(old, 0, server) == recorded("0.32.0", noted, 0)
    assert recorded("0.32.0", Program((1, 18, 0), Path()), 0) == recorded("0.32.0", noted, 0)


@pytest.mark.parametrize("asyncpg", poolers.OLDER)
def test_before_0_31_unique_names_and_both_caches_0_work_but_in_autocommit(asyncpg: str) -> None:
    table = recorded(asyncpg, Program((1, 24, 1), Path()), 0)
    rows = {line[:32].strip(): line[32:].split() for line in table.splitlines()[1:]}
    works = {name for name, cells in rows.items() if cells[:3] == ["ok", "ok", "ok"]}
    assert works == {"unique names, both 0", "NullPool, unique names, both 0"}
    assert all(rows[name][3] == "fails" for name in works)


async def test_since_1_24_statements_are_tracked_by_default(database_url: str) -> None:
    newest = need_pgbouncer()
    if newest.release < (1, 24):
        return  # Ubuntu's own has the setting, at 0
    with run_pgbouncer(database_url, newest) as url:
        console = make_url(url).set(drivername="postgresql", database="pgbouncer")
        with psycopg.connect(console.render_as_string(hide_password=False), autocommit=True) as it:
            found = {row[0]: row[1] for row in it.execute("SHOW CONFIG").fetchall()}
    assert found["max_prepared_statements"] == "200"


# What stays on the server connection


async def test_set_local_ends_with_its_transaction(
    database_url: str, make_engine: MakeEngine
) -> None:
    with pooled(database_url) as url:
        engine = make_engine(url, connect_args=CURE)
        await ask(engine, "SELECT set_config('statement_timeout', '7s', true)")
        assert await ask(engine, "SHOW statement_timeout") == "0"
        await ask(engine, "SELECT set_config('statement_timeout', '7s', false)")
        assert await ask(engine, "SHOW statement_timeout") == "7s"


@pytest.mark.parametrize(
    ("setting", "value", "found_by_the_other"),
    [
        ("statement_timeout", "7s", True),
        ("TimeZone", "Asia/Shanghai", False),
        ("DateStyle", "German, DMY", False),
    ],
)
async def test_pgbouncer_keeps_some_settings_for_each_client(
    database_url: str, make_engine: MakeEngine, setting: str, value: str, found_by_the_other: bool
) -> None:
    with pooled(database_url, default_pool_size="1") as url:
        engine = make_engine(url, connect_args=CURE)
        async with engine.connect() as first, engine.connect() as second:
            await first.execute(text(f"SET {setting} = '{value}'"))
            await first.commit()
            found = await second.scalar(text(f"SHOW {setting}"))
            await second.commit()
            assert (found == value) is found_by_the_other
            assert await first.scalar(text(f"SHOW {setting}")) == value


async def test_a_lock_cannot_be_released_by_its_owner(
    database_url: str, make_engine: MakeEngine
) -> None:
    with pooled(database_url) as url:
        engine = make_engine(url, connect_args=CURE)
        async with engine.connect() as first, engine.connect() as second:
            await first.execute(text("SELECT pg_advisory_lock(42)"))
            await first.commit()
            await second.execute(OOLONG)  # has the connection now
            assert await first.scalar(text("SELECT pg_advisory_unlock(42)")) is False
            assert await second.scalar(text("SELECT pg_advisory_unlock(42)")) is True


@pytest.mark.parametrize("always", [False, True])
async def test_discard_runs_in_transaction_mode_only_if_told_always(
    always: bool, database_url: str, make_engine: MakeEngine
) -> None:
    with pooled(database_url, server_reset_query_always=str(int(always))) as url:
        engine = make_engine(url, connect_args=CURE)
        await ask(engine, "SELECT set_config('statement_timeout', '7s', false)")
        assert await ask(engine, "SHOW statement_timeout") == ("0" if always else "7s")


async def test_a_role_may_have_the_limit_instead(
    database_url: str, make_engine: MakeEngine
) -> None:
    direct = make_engine()
    name = make_url(database_url).database
    await ask_nothing(direct, f"ALTER ROLE CURRENT_USER IN DATABASE {name} SET jit = 'off'")
    with pooled(database_url) as url:
        assert await ask(make_engine(url, connect_args=CURE), "SHOW jit") == "off"


async def ask_nothing(engine: AsyncEngine, statement: str) -> None:
    async with engine.begin() as connection:
        await connection.execute(text(statement))


# Logins


async def test_psycopgs_options_are_judged_setting_by_setting(
    database_url: str, make_engine: MakeEngine
) -> None:
    with pooled(database_url) as url:
        place = make_url(url).set(drivername="postgresql+psycopg")
        engine = make_engine(place, connect_args={"options": "-c statement_timeout=5s"})
        with pytest.raises(OperationalError, match="unsupported startup parameter in options: st"):
            await ask(engine, "SELECT 1")
        engine = make_engine(place, connect_args={"options": "-c timezone=Asia/Shanghai"})
        assert await ask(engine, "SHOW timezone") == "Asia/Shanghai"


async def test_an_old_release_refuses_psycopgs_options_altogether(
    database_url: str, make_engine: MakeEngine
) -> None:
    with run_pgbouncer(database_url, need_old_pgbouncer()) as url:
        place = make_url(url).set(drivername="postgresql+psycopg")
        engine = make_engine(place, connect_args={"options": "-c timezone=Asia/Shanghai"})
        with pytest.raises(OperationalError, match="unsupported startup parameter: options"):
            await ask(engine, "SELECT 1")


async def test_the_setting_of_a_read_only_engine_is_refused(
    database_url: str, make_engine: MakeEngine
) -> None:
    with pooled(database_url) as url:
        read_only = {"server_settings": {"default_transaction_read_only": "on"}}
        engine = make_engine(url, connect_args=read_only)
        with pytest.raises(Exception, match="parameter: default_transaction_read_only"):
            await ask(engine, "SELECT 1")


async def test_psycopgs_names_exist_already_for_a_new_connection(
    database_url: str, make_engine: MakeEngine
) -> None:
    async def order(connection: AsyncConnection) -> None:
        for _ in range(6):
            await connection.scalar(LONGJING)
        await connection.commit()

    with pooled(database_url, max_prepared_statements="0") as url:
        engine = make_engine(make_url(url).set(drivername="postgresql+psycopg"))
        async with engine.connect() as first, engine.connect() as second:
            await order(first)
            with pytest.raises(DBAPIError, match='"_pg3_0" already exists'):
                await order(second)


# Sums


async def test_in_session_mode_the_defaults_work(
    database_url: str, make_engine: MakeEngine
) -> None:
    with pooled(database_url, pool_mode="session", max_prepared_statements="0") as url:
        engine = make_engine(url)
        async with engine.connect() as first, engine.connect() as second:
            for _ in range(3):
                assert await first.scalar(LONGJING) == "longjing"
                await first.commit()
                assert await second.scalar(OOLONG) == "oolong"


async def test_tasks_wait_in_pgbouncer_and_not_in_the_pool(
    database_url: str, make_engine: MakeEngine
) -> None:
    with pooled(database_url, query_wait_timeout="1") as url:
        engine = make_engine(url, pool_size=3, connect_args=CURE)
        async with engine.connect() as first, engine.connect() as second:
            await first.execute(LONGJING)
            await second.execute(OOLONG)
            with pytest.raises(DBAPIError, match="query_wait_timeout") as caught:
                await ask(engine, "SELECT 1")
            assert not isinstance(caught.value, PoolTimeout)
