"""What the quick start says beyond the lines its snippets print."""

import asyncio
import os
import re
import runpy
import subprocess
import sys
from collections.abc import Callable
from importlib.metadata import metadata
from pathlib import Path

import asyncpg  # type: ignore[import-untyped]
import pytest
import sqlalchemy
from sqlalchemy import URL, make_url, text
from sqlalchemy.exc import DBAPIError
from sqlalchemy.ext.asyncio import AsyncSession, create_async_engine
from sqlalchemy.pool import NullPool

from tools.pages import pages
from tools.rooms import LANGUAGES, ROOT

SNIPPETS = ROOT / "snippets" / "start" / "quickstart"
EDITION_2_0 = sqlalchemy.__version__.startswith("2.0.")
HIDE = """
import sys

class Hidden:
    def find_spec(self, name, path=None, target=None):
        if name in {hidden!r}:
            raise ModuleNotFoundError(f"No module named {{name!r}}", name=name)

sys.meta_path.insert(0, Hidden())
"""


def fails_without(hidden: set[str], program: str) -> str:
    """The error that ends a program on a machine that lacks these modules."""
    ran = subprocess.run(
        [sys.executable, "-c", HIDE.format(hidden=hidden) + program],
        capture_output=True,
        encoding="utf-8",
    )
    assert ran.returncode == 1, ran.stderr
    return ran.stderr.splitlines()[-1]


def run(snippet: Path, database_url: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [sys.executable, snippet],
        env={**os.environ, "DATABASE_URL": database_url},
        capture_output=True,
        encoding="utf-8",
    )


@pytest.fixture
def for_asyncpg() -> Callable[[str], URL]:
    """The function that the page offers to its reader."""
    function: Callable[[str], URL] = runpy.run_path(str(SNIPPETS / "mend_url.py"))["for_asyncpg"]
    return function


async def server_connections(database_url: str) -> int:
    watcher = create_async_engine(database_url, poolclass=NullPool)
    async with watcher.connect() as connection:
        rows = await connection.execute(
            text(
                "SELECT pid FROM pg_stat_activity"
                " WHERE datname = current_database() AND pid <> pg_backend_pid()"
            )
        )
        return len(rows.all())


async def gone(database_url: str) -> bool:
    """Whether nobody but the watcher is connected, now or within a few seconds."""
    async with asyncio.timeout(10):
        while await server_connections(database_url):
            pass  # looking again takes a new connection, which is pause enough
    return True


def test_a_url_without_a_driver_looks_for_psycopg() -> None:
    said = fails_without(
        {"psycopg", "psycopg2"},
        "from sqlalchemy.ext.asyncio import create_async_engine\n"
        "create_async_engine('postgresql://localhost/tea')",
    )
    driver = "psycopg2" if EDITION_2_0 else "psycopg"
    assert said == f"ModuleNotFoundError: No module named '{driver}'"


def test_psycopg2_is_refused_because_it_is_not_async() -> None:
    said = fails_without(
        set(),
        "from unittest.mock import MagicMock\n"
        "from sqlalchemy.ext.asyncio import create_async_engine\n"
        "sys.modules['psycopg2'] = MagicMock(paramstyle='pyformat', __version__='2.9.11')\n"
        "create_async_engine('postgresql+psycopg2://localhost/tea')",
    )
    assert "The asyncio extension requires an async driver to be used." in said
    assert "The loaded 'psycopg2' is not async." in said


def test_without_asyncpg_the_error_names_asyncpg() -> None:
    said = fails_without(
        {"asyncpg"},
        "from sqlalchemy.ext.asyncio import create_async_engine\n"
        "create_async_engine('postgresql+asyncpg://localhost/tea')",
    )
    assert said == "ModuleNotFoundError: No module named 'asyncpg'"


def test_without_greenlet_the_error_is_the_one_on_the_page() -> None:
    said = fails_without(
        {"greenlet"},
        "import asyncio\n"
        "from sqlalchemy.ext.asyncio import create_async_engine\n"
        "engine = create_async_engine('postgresql+asyncpg://tea@127.0.0.1:1/tea')\n"
        "asyncio.run(engine.dispose())",
    )
    for language in LANGUAGES:
        [page] = [page for page in pages(language) if page.name == "start/quickstart.md"]
        [section] = [section for section in page.sections() if section.id == "greenlet"]
        errors = [text for text in re.findall(r"`([^`]+)`", section.text) if "library is" in text]
        assert any(error in said for error in errors)


def test_only_2_1_needs_the_extra_for_greenlet_and_python_3_11() -> None:
    needs = metadata("sqlalchemy")
    plain = [name for name in needs.get_all("Requires-Dist") or () if "extra ==" not in name]
    assert any(name.startswith("greenlet") for name in plain) is EDITION_2_0
    assert not any("arm64" in name for name in plain)
    assert (needs["Requires-Python"] == ">=3.11") is not EDITION_2_0


@pytest.mark.parametrize("parameter", ["channel_binding", "application_name"])
async def test_other_libpq_parameters_fail_like_sslmode(database_url: str, parameter: str) -> None:
    engine = create_async_engine(make_url(database_url).update_query_dict({parameter: "x"}))
    with pytest.raises(TypeError, match=f"unexpected keyword argument '{parameter}'"):
        async with engine.connect():
            pass


async def test_a_mended_url_connects(database_url: str, for_asyncpg: Callable[[str], URL]) -> None:
    cloud = make_url(database_url).set(drivername="postgres")
    cloud = cloud.update_query_dict({"sslmode": "prefer"})
    engine = create_async_engine(for_asyncpg(cloud.render_as_string(hide_password=False)))
    async with engine.connect() as connection:
        assert await connection.scalar(text("SELECT 1")) == 1
    await engine.dispose()


def test_a_percent_encoded_password_is_decoded() -> None:
    assert make_url("postgresql+asyncpg://tea:p%40ss%2F%23@localhost/tea").password == "p@ss/#"


async def test_a_missing_database_is_wrapped_since_2_1(database_url: str) -> None:
    engine = create_async_engine(make_url(database_url).set(database="no_such_tea_house"))
    error = asyncpg.InvalidCatalogNameError if EDITION_2_0 else DBAPIError
    with pytest.raises(error, match='database "no_such_tea_house" does not exist'):
        async with engine.connect():
            pass


async def test_without_commit_the_next_session_finds_nothing(database_url: str) -> None:
    engine = create_async_engine(database_url)
    async with engine.begin() as connection:
        await connection.execute(text("CREATE TABLE orders (id int)"))
    async with AsyncSession(engine) as session:
        await session.execute(text("INSERT INTO orders VALUES (1)"))
    async with AsyncSession(engine) as session:
        assert await session.scalar(text("SELECT count(*) FROM orders")) == 0
    await engine.dispose()


async def test_the_orders_snippet_leaves_an_existing_table_alone(database_url: str) -> None:
    engine = create_async_engine(database_url)
    async with engine.begin() as connection:
        await connection.execute(text("CREATE TABLE orders AS SELECT 'yours' AS note"))
    ran = run(SNIPPETS / "orders.py", database_url)
    assert ran.returncode == 1
    assert 'relation "orders" already exists' in ran.stderr
    async with engine.connect() as connection:
        assert await connection.scalar(text("SELECT note FROM orders")) == "yours"
    await engine.dispose()


async def test_a_program_without_dispose_disconnects_when_it_ends(
    database_url: str, tmp_path: Path
) -> None:
    hello = (SNIPPETS / "hello.py").read_text("utf-8")
    careless = tmp_path / "careless.py"
    careless.write_text(hello.replace("    await engine.dispose()\n", ""), "utf-8")
    assert "dispose" not in careless.read_text("utf-8")
    ran = run(careless, database_url)
    assert (ran.returncode, ran.stdout) == (0, "longjing, please\n")
    assert await gone(database_url)


@pytest.mark.parametrize("language", LANGUAGES)
def test_the_url_on_the_page_is_that_of_the_compose_file(language: str) -> None:
    page = (ROOT / "docs" / language / "start" / "quickstart.md").read_text("utf-8")
    found = re.search(r"^export DATABASE_URL=(\S+)$", page, re.MULTILINE)
    assert found
    url = make_url(found[1])
    compose = (ROOT / "docker-compose.yml").read_text("utf-8")
    assert f"{url.port}:5432" in compose
    assert re.search(rf"POSTGRES_PASSWORD: *\"?{url.password}\b", compose)
