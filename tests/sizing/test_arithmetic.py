"""What the page on the arithmetic says beyond what its snippets print."""

import asyncio
import os
import re
import signal
import subprocess
import sys
from collections.abc import AsyncIterator
from contextlib import AsyncExitStack, asynccontextmanager
from pathlib import Path
from typing import Any

import psycopg
import pytest
from sqlalchemy import URL, exc, make_url, text
from sqlalchemy.ext.asyncio import create_async_engine
from sqlalchemy.pool import NullPool

from tests.asking import ask
from tests.pools import MakeEngine
from tests.prose import sql_fences
from tests.report import report
from tests.versions import IS_2_0
from tests.waiting import DEADLINE
from tools.paths import DOCS, LANGUAGES, SNIPPETS
from tools.postgres import EmbeddedPostgres
from tools.site.pages import Page

PAGES = [Page(DOCS / language / "sizing" / "arithmetic.md") for language in LANGUAGES]
PREFLIGHT = SNIPPETS / "sizing" / "rules" / "preflight.py"
REFUSED = SNIPPETS / "sizing" / "arithmetic" / "refused.py"
DRIVERS = "asyncpg", "psycopg"
WRAPS = not IS_2_0
BACKENDS = text("SELECT count(*) FROM pg_stat_activity WHERE datname IS NOT NULL")


def as_role(server: EmbeddedPostgres, role: str, driver: str = "asyncpg") -> URL:
    """The server's address for a role that `roles` made, or for its superuser."""
    url = make_url(server.url()).set(drivername=f"postgresql+{driver}")
    return url if role == "postgres" else url.set(username=role, password="tea")


async def quiet(server: EmbeddedPostgres) -> None:
    """Wait until no other connection is left: a closed backend needs a moment."""
    watcher = create_async_engine(server.url(), poolclass=NullPool)
    async with asyncio.timeout(DEADLINE):
        while True:
            async with watcher.connect() as connection:
                if await connection.scalar(BACKENDS) == 1:
                    return


@asynccontextmanager
async def holding(url: URL, most: int = 50) -> AsyncIterator[tuple[int, Exception | None]]:
    """Borrow until refused, or `most`; how many connections are held, and the refusal."""
    engine = create_async_engine(url, pool_size=most)
    refusal, held = None, 0
    async with AsyncExitStack() as lent:
        try:
            for _ in range(most):
                await lent.enter_async_context(engine.connect())
                held += 1
        except Exception as error:
            refusal = error
        yield held, refusal
    await engine.dispose()


def said(refusal: Exception | None) -> str:
    """The server's words, without what driver and SQLAlchemy put around them."""
    original = str(getattr(refusal, "orig", refusal))
    return original.split("FATAL:  ")[-1].strip()


def require_on_both(*sentences: str) -> None:
    """Fail unless both pages say each sentence, as code."""
    report(
        f"{page.file}: does not say `{sentence}`, as the server did; mend the table"
        for page in PAGES
        for sentence in sentences
        if f"`{sentence}`" not in page.path.read_text("utf-8")
    )


def sql_with(words: str) -> str:
    """The first statement of the SQL, the same on both pages, that has these words in it."""
    [sql] = {
        sql
        for language in LANGUAGES
        for sql in sql_fences("sizing/arithmetic", language)
        if words in sql
    }
    return sql.partition(";")[0]


def rightly_told(refusal: Any, driver: str) -> bool:
    """Whether the page says what has to be caught, and where the SQLSTATE is."""
    kind = type(refusal)
    if driver == "psycopg":
        begins = str(refusal.orig).startswith("connection failed: connection to server at")
        return kind is exc.OperationalError and begins and refusal.orig.sqlstate is None
    if WRAPS:
        return kind is exc.DBAPIError and bool(refusal.orig.sqlstate == "53300")
    return kind.__name__ == "TooManyConnectionsError" and bool(refusal.sqlstate == "53300")


@pytest.mark.parametrize("driver", DRIVERS)
@pytest.mark.parametrize("major", [16, 18])
async def test_each_limit_refuses_in_the_words_of_the_page(major: int, driver: str) -> None:
    refusals = []
    with EmbeddedPostgres(
        major, max_connections="12", superuser_reserved_connections="3", reserved_connections="2"
    ) as server:
        await ask(
            server.url(),
            "CREATE ROLE guest LOGIN PASSWORD 'tea'",
            "CREATE ROLE app LOGIN PASSWORD 'tea' CONNECTION LIMIT 2",
            "CREATE ROLE steward LOGIN PASSWORD 'tea'",
            "GRANT pg_use_reserved_connections TO steward",
            "CREATE DATABASE teahouse CONNECTION LIMIT 2",
        )
        guest = as_role(server, "guest", driver)
        for url in as_role(server, "app", driver), guest.set(database="teahouse"):
            await quiet(server)
            async with holding(url) as (held, refusal):
                assert held == 2
                refusals.append(refusal)
        await quiet(server)
        async with AsyncExitStack() as full:
            for role, expected in ("guest", 12 - 3 - 2), ("steward", 2), ("postgres", 3):
                url = as_role(server, role, driver)
                held, refusal = await full.enter_async_context(holding(url))
                assert held == expected, role
                refusals.append(refusal)
            held, refusal = await full.enter_async_context(holding(guest))
            assert (held, said(refusal)) == (0, "sorry, too many clients already")
    require_on_both(*map(said, refusals))
    assert all(rightly_told(refusal, driver) for refusal in refusals)


async def test_a_superuser_takes_the_reserved_slots_and_minds_no_limit_of_its_role() -> None:
    with EmbeddedPostgres(max_connections="10", superuser_reserved_connections="3") as server:
        await ask(server.url(), "ALTER ROLE postgres CONNECTION LIMIT 1")
        await quiet(server)
        async with holding(as_role(server, "postgres")) as (held, refusal):
            assert held == 10
        assert said(refusal) == "sorry, too many clients already"


async def test_a_role_with_a_limit_leaves_the_rest_to_the_others() -> None:
    with EmbeddedPostgres(max_connections="10", superuser_reserved_connections="3") as server:
        await ask(
            server.url(),
            "CREATE ROLE guest LOGIN PASSWORD 'tea'",
            "CREATE ROLE app LOGIN PASSWORD 'tea'",
            "ALTER ROLE app CONNECTION LIMIT 5",
        )
        await quiet(server)
        async with (
            holding(as_role(server, "app")) as (taken, _),
            holding(as_role(server, "guest")) as (left, _),
        ):
            assert (taken, left) == (5, 10 - 3 - 5)
        asking = create_async_engine(as_role(server, "guest"), poolclass=NullPool)
        async with asking.connect() as connection:
            limits = {row[0]: row[1] for row in await connection.execute(text(sql_with("rolconn")))}
        assert limits == {"app": 5, "guest": -1, "postgres": -1}


async def test_a_streaming_replica_takes_no_slot_of_the_sum() -> None:
    with EmbeddedPostgres(
        max_connections="6", superuser_reserved_connections="1", max_wal_senders="2"
    ) as server:
        await ask(server.url(), "CREATE ROLE guest LOGIN PASSWORD 'tea'")
        url = make_url(server.url())
        await quiet(server)
        replica = await psycopg.AsyncConnection.connect(
            host=url.host,
            port=url.port or 0,
            user=url.username,
            password=url.password,
            autocommit=True,
            replication="true",
        )
        async with replica, holding(as_role(server, "guest")) as (held, _):
            assert held == 5


@pytest.mark.parametrize("role", ["postgres", "guest"])
async def test_the_queries_of_the_page_fill_in_the_calculators_fields(role: str) -> None:
    [sql] = {
        sql
        for language in LANGUAGES
        for sql in sql_fences("sizing/arithmetic", language)
        if "max_connections" in sql.partition("\n")[0]
    }
    limits, others = filter(str.strip, sql.split(";"))
    with EmbeddedPostgres(
        max_connections="20", superuser_reserved_connections="4", reserved_connections="3"
    ) as server:
        await ask(server.url(), "CREATE ROLE guest LOGIN PASSWORD 'tea'")
        await quiet(server)
        asking = create_async_engine(as_role(server, role), poolclass=NullPool)
        async with (
            holding(as_role(server, "guest"), 5),
            holding(as_role(server, "postgres"), 2),
            asking.connect() as connection,
        ):
            assert (await connection.execute(text(limits))).one() == (20, 4 + 3)
            found = [(row[0], row[2]) for row in await connection.execute(text(others))]
            assert found == [("guest", 5), ("postgres", 2)]


def environment(url: URL) -> dict[str, str]:
    """What a snippet is run with."""
    return {**os.environ, "DATABASE_URL": url.render_as_string(hide_password=False)}


def ran(snippet: Path, url: URL) -> tuple[int, str]:
    """Run a snippet as a reader does: its exit code, and what it said."""
    process = subprocess.run(
        [sys.executable, snippet], env=environment(url), capture_output=True, encoding="utf-8"
    )
    return process.returncode, (process.stdout + process.stderr).strip()


def preflight(url: URL) -> tuple[int, str]:
    """Run the page's check."""
    return ran(PREFLIGHT, url)


async def test_a_role_that_may_not_create_roles_is_told_so_in_one_line() -> None:
    with EmbeddedPostgres() as server:
        await ask(server.url(), "CREATE ROLE guest LOGIN PASSWORD 'tea'")
        guest = as_role(server, "guest")
        said_so = "This needs a role with CREATEROLE."
        assert await asyncio.to_thread(ran, REFUSED, guest) == (1, said_so)


@pytest.mark.parametrize(
    ("stop", "left"),
    # Ctrl-C drops the role, unless it cuts the very answer to CREATE ROLE.
    [(signal.SIGKILL, [["expires"]]), (signal.SIGINT, [[], ["expires"]])],
    ids=["kill", "ctrl-c"],
)
async def test_a_run_that_is_stopped_leaves_no_role_that_can_log_in_for_long(
    stop: signal.Signals, left: list[list[str]]
) -> None:
    left_over = text("""
        SELECT CASE WHEN rolvaliduntil < now() + interval '5 minutes' THEN 'expires' END
        FROM pg_roles WHERE rolname LIKE 'guide_guest_%'
    """)
    with EmbeddedPostgres(post_auth_delay="1") as server:  # which gives time to stop it
        watcher = create_async_engine(server.url(), isolation_level="AUTOCOMMIT")
        async with asyncio.timeout(DEADLINE), watcher.connect() as connection:
            process = await asyncio.create_subprocess_exec(
                sys.executable, REFUSED, env=environment(as_role(server, "postgres")),
                stderr=asyncio.subprocess.DEVNULL,
            )  # fmt: skip
            while not (await connection.scalars(left_over)).all():
                pass
            process.send_signal(stop)
            await process.wait()
            assert (await connection.scalars(left_over)).all() in left
        await watcher.dispose()


async def test_the_check_before_a_deployment_names_the_limit_that_is_in_the_way() -> None:
    with EmbeddedPostgres(max_connections="30", superuser_reserved_connections="3") as server:
        await ask(server.url(), "CREATE ROLE guest LOGIN PASSWORD 'tea'")
        guest = as_role(server, "guest")
        await quiet(server)
        assert await asyncio.to_thread(preflight, guest) == (0, "2 x (5 + 5) = 20: they fit")

        async with holding(as_role(server, "postgres"), 8):
            short = "20 wanted, 19 free: the server has 27 slots, 8 in use"
            assert await asyncio.to_thread(preflight, guest) == (1, short)
        await quiet(server)
        async with holding(guest, 1):
            await ask(server.url(), "ALTER ROLE guest CONNECTION LIMIT 12")
            short = "20 wanted, 11 free: the role has 12 slots, 1 in use"
            assert await asyncio.to_thread(preflight, guest) == (1, short)
            await ask(server.url(), "ALTER DATABASE postgres CONNECTION LIMIT 6")
            short = "20 wanted, 5 free: the database has 6 slots, 1 in use"
            assert await asyncio.to_thread(preflight, guest) == (1, short)


def test_the_example_of_the_page_is_a_sentence_of_that_check() -> None:
    form = re.compile(r"`20 wanted, (\d+) free: the server has (\d+) slots, (\d+) in use`")
    for language in LANGUAGES:
        page = Page(DOCS / language / "sizing" / "rules.md")
        [(free, slots, used)] = form.findall(page.path.read_text("utf-8"))
        assert int(slots) - int(used) == int(free) < 20


async def test_without_a_pool_each_session_at_work_is_a_connection(make_engine: MakeEngine) -> None:
    engine = make_engine(poolclass=NullPool)
    async with AsyncExitStack() as lent:
        connections = [await lent.enter_async_context(engine.connect()) for _ in range(20)]
        pids = [
            await connection.scalar(text("SELECT pg_backend_pid()")) for connection in connections
        ]
    assert len(set(pids)) == 20


async def test_two_engines_for_one_database_are_two_pools(make_engine: MakeEngine) -> None:
    engines = [make_engine(pool_size=2, max_overflow=1) for _ in range(2)]
    async with AsyncExitStack() as lent:
        held = [
            await lent.enter_async_context(engine.connect()) for engine in engines for _ in range(3)
        ]
        pids = [await connection.scalar(text("SELECT pg_backend_pid()")) for connection in held]
    assert len(set(pids)) == 2 * (2 + 1)
    for engine in engines:
        await engine.dispose()


async def test_another_isolation_level_needs_no_second_engine(make_engine: MakeEngine) -> None:
    engine = make_engine()
    autocommit = engine.execution_options(isolation_level="AUTOCOMMIT")
    async with autocommit.connect() as connection:
        first = await connection.scalar(text("SELECT pg_backend_pid()"))
    async with engine.connect() as connection:
        assert await connection.scalar(text("SELECT pg_backend_pid()")) == first
    assert autocommit.pool is engine.pool
