"""What the quick start says beyond the lines its snippets print."""

import ast
import asyncio
import inspect
import os
import re
import runpy
import signal
import socket
import ssl
import struct
import subprocess
import sys
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager, nullcontext
from importlib.metadata import metadata
from pathlib import Path
from typing import Any
from unittest.mock import MagicMock

import asyncpg  # type: ignore[import-untyped]
import certifi
import pytest
from packaging.requirements import Requirement
from sqlalchemy import URL, make_url, text
from sqlalchemy.dialects.postgresql import asyncpg as asyncpg_dialect
from sqlalchemy.exc import DBAPIError
from sqlalchemy.ext.asyncio import AsyncEngine, AsyncSession, create_async_engine
from sqlalchemy.pool import NullPool

from tests.asking import backends
from tests.logins import read_login
from tests.pools import MakeEngine, with_psycopg
from tests.versions import IS_2_0
from tests.waiting import eventually
from tools.paths import LANGUAGES, ROOT
from tools.site.pages import pages

SNIPPETS = ROOT / "snippets" / "start" / "quickstart"
Mend = Callable[[str], tuple[URL, dict[str, Any]]]
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
def for_asyncpg() -> Mend:
    """The function that the page offers to its reader."""
    function: Mend = runpy.run_path(str(SNIPPETS / "mend_url.py"))["for_asyncpg"]
    return function


async def until_gone(database_url: str) -> None:
    """Wait until nobody but the watcher is connected."""

    async def nobody() -> bool:
        return await backends(database_url) == 0

    await eventually("nobody is connected", nobody)


def test_a_url_without_a_driver_looks_for_psycopg() -> None:
    said = fails_without(
        {"psycopg", "psycopg2"},
        "from sqlalchemy.ext.asyncio import create_async_engine\n"
        "create_async_engine('postgresql://localhost/tea')",
    )
    driver = "psycopg2" if IS_2_0 else "psycopg"
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
    assert said.startswith(
        "ValueError: the greenlet library is required to use this function. No module named"
        if IS_2_0
        else "ImportError: The SQLAlchemy asyncio module requires that the Python 'greenlet'"
    )


def test_only_2_1_needs_the_extra_for_greenlet_and_python_3_11() -> None:
    needs = metadata("sqlalchemy")
    plain = [name for name in needs.get_all("Requires-Dist") or () if "extra ==" not in name]
    assert any(name.startswith("greenlet") for name in plain) is IS_2_0
    assert (needs["Requires-Python"] == ">=3.11") is not IS_2_0


LIBPQ = {
    "application_name": "shop",
    "channel_binding": "require",
    "connect_timeout": "10",
    "connection_limit": "5",
    "gssencmode": "disable",
    "options": "-c statement_timeout=5s",
    "pgbouncer": "true",
    "sslmode": "prefer",
    "sslrootcert": "ca.pem",
}
"""The words of libpq that the page's table names and asyncpg does not take."""


@pytest.mark.parametrize("word", LIBPQ)
async def test_a_word_of_libpq_fails_in_the_url_and_in_connect_args_alike(
    database_url: str, make_engine: MakeEngine, word: str
) -> None:
    message = f"unexpected keyword argument '{word}'"
    url = make_url(database_url)
    for engine in (
        make_engine(url.update_query_dict({word: LIBPQ[word]})),
        make_engine(url, connect_args={word: LIBPQ[word]}),
    ):
        with pytest.raises(TypeError, match=message):
            async with engine.connect():
                pass


async def mended(database_url: str, for_asyncpg: Mend, **words: str) -> AsyncEngine:
    """An engine for what the page's function makes of a URL with these words in it."""
    cloud = make_url(database_url).set(drivername="postgres").update_query_dict(words)
    url, connect_args = for_asyncpg(cloud.render_as_string(hide_password=False))
    return create_async_engine(url, connect_args=connect_args, poolclass=NullPool)


async def test_a_mended_url_connects_whatever_words_of_libpq_it_had(
    database_url: str, for_asyncpg: Mend
) -> None:
    words = {word: value for word, value in LIBPQ.items() if word != "sslrootcert"}
    engine = await mended(database_url, for_asyncpg, **words)
    settings = text("SELECT current_setting('application_name'), current_setting(:other)")
    async with engine.connect() as connection:
        found = await connection.execute(settings, {"other": "statement_timeout"})
        assert tuple(found.one()) == ("shop", "5s")


async def test_the_urls_of_hosted_poolers_come_out_clean(for_asyncpg: Mend) -> None:
    for words in ("sslmode=require&channel_binding=require", "pgbouncer=true&connection_limit=1"):
        url, _ = for_asyncpg(f"postgresql://tea:secret@127.0.0.1:1/tea?{words}")
        with pytest.raises(ConnectionRefusedError):
            async with create_async_engine(url).connect():
                pass


async def test_a_word_that_nobody_knows_is_not_dropped_in_silence(
    database_url: str, for_asyncpg: Mend
) -> None:
    engine = await mended(database_url, for_asyncpg, sslnegotiation="direct", sslkey="tea.key")
    with pytest.raises(TypeError, match=r"unexpected keyword argument 'ssl\w+'"):
        async with engine.connect():
            pass


async def test_target_session_attrs_needs_no_change(database_url: str, for_asyncpg: Mend) -> None:
    engine = await mended(database_url, for_asyncpg, target_session_attrs="read-write")
    async with engine.connect() as connection:
        assert await connection.scalar(text("SELECT 1")) == 1


def test_a_connect_timeout_of_0_means_no_limit_to_libpq(for_asyncpg: Mend) -> None:
    assert for_asyncpg("postgres://tea@localhost/tea?connect_timeout=0")[1] == {"timeout": None}


@pytest.mark.parametrize(
    ("words", "checks_the_name"),
    [
        ("sslmode=require&sslrootcert={}", False),
        ("sslmode=verify-ca&sslrootcert={}", False),
        ("sslmode=verify-full&sslrootcert={}", True),
        ("sslrootcert=system", True),
    ],
)
async def test_a_root_certificate_is_checked_and_the_name_where_libpq_checks_it(
    database_url: str, make_engine: MakeEngine, for_asyncpg: Mend, words: str, checks_the_name: bool
) -> None:
    url, connect_args = for_asyncpg(f"{database_url}?{words.format(certifi.where())}")
    context = connect_args["ssl"]
    assert context.verify_mode is ssl.CERT_REQUIRED
    assert context.check_hostname is checks_the_name
    # The server of these tests has no TLS, and asyncpg does not go on without it.
    with pytest.raises(ConnectionError, match="rejected SSL upgrade"):
        async with make_engine(url, connect_args=connect_args).connect():
            pass


async def test_a_mode_that_checks_nothing_stays_so_beside_a_root_certificate(
    database_url: str, for_asyncpg: Mend
) -> None:
    for mode in ("disable", "allow", "prefer"):
        engine = await mended(database_url, for_asyncpg, sslmode=mode, sslrootcert=certifi.where())
        async with engine.connect() as connection:
            assert await connection.scalar(text("SELECT 1")) == 1


@pytest.mark.parametrize(
    ("known", "checks"), [(None, ssl.CERT_NONE), (certifi.where(), ssl.CERT_REQUIRED)]
)
async def test_require_checks_the_certificate_where_pgsslrootcert_is_set_and_else_encrypts(
    database_url: str,
    make_engine: MakeEngine,
    monkeypatch: pytest.MonkeyPatch,
    known: str | None,
    checks: ssl.VerifyMode,
) -> None:
    if known:
        monkeypatch.setenv("PGSSLROOTCERT", known)
    seen: list[ssl.SSLContext] = []
    connect_to = asyncpg.connect_utils._create_ssl_connection

    async def record(*arguments: object, **named: object) -> object:
        seen.extend(found for found in arguments if isinstance(found, ssl.SSLContext))
        seen.extend(found for found in named.values() if isinstance(found, ssl.SSLContext))
        return await connect_to(*arguments, **named)

    monkeypatch.setattr(asyncpg.connect_utils, "_create_ssl_connection", record)
    engine = make_engine(make_url(database_url).update_query_dict({"ssl": "require"}))
    with pytest.raises(ConnectionError):
        async with engine.connect():
            pass
    assert seen
    assert {(context.verify_mode, context.check_hostname) for context in seen} == {(checks, False)}


async def test_a_server_that_does_not_answer_ends_in_an_empty_built_in_timeout() -> None:
    assert inspect.signature(asyncpg.connect).parameters["timeout"].default == 60
    with socket.create_server(("127.0.0.1", 0)) as silent:
        port = silent.getsockname()[1]
        engine = create_async_engine(
            f"postgresql+asyncpg://tea:secret@127.0.0.1:{port}/tea", connect_args={"timeout": 0.2}
        )
        with pytest.raises(TimeoutError) as failure:
            async with engine.connect():
                pass
    assert type(failure.value) is TimeoutError
    assert str(failure.value) == ""


@pytest.mark.parametrize("language", LANGUAGES)
async def test_localhost_with_two_addresses_is_refused_by_a_plain_os_error(
    monkeypatch: pytest.MonkeyPatch, language: str
) -> None:
    page = (ROOT / "docs" / language / "start" / "quickstart.md").read_text("utf-8")
    # 127.0.0.2 stands in for ::1, which not each machine has.
    both = [
        (socket.AF_INET, socket.SOCK_STREAM, 6, "", (host, 1))
        for host in ("127.0.0.2", "127.0.0.1")
    ]
    monkeypatch.setattr(socket, "getaddrinfo", lambda *_, **__: both)
    engine = create_async_engine("postgresql+asyncpg://tea:secret@localhost:1/tea")
    with pytest.raises(OSError, match=r"^Multiple exceptions: ") as refused:
        async with engine.connect():
            pass
    assert type(refused.value) is OSError
    said = str(refused.value).replace("('127.0.0.2', 1)", "('::1', 1, 0, 0)")
    assert f"`OSError: {said}`" in page


@pytest.mark.parametrize("language", LANGUAGES)
def test_a_refused_connection_says_what_the_page_says_on_either_loop(language: str) -> None:
    page = (ROOT / "docs" / language / "start" / "quickstart.md").read_text("utf-8")
    program = (
        "import asyncio, sys\n"
        "from sqlalchemy.ext.asyncio import create_async_engine\n"
        "async def main():\n"
        "    async with create_async_engine("
        "'postgresql+asyncpg://tea:secret@127.0.0.1:1/tea').connect(): pass\n"
        "if sys.argv[1] == 'uvloop':\n"
        "    import uvloop\n"
        "    uvloop.run(main())\n"
        "else:\n"
        "    asyncio.run(main())\n"
    )
    for loop in ("asyncio", "uvloop"):
        ran = subprocess.run(
            [sys.executable, "-c", program, loop], capture_output=True, encoding="utf-8"
        )
        assert ran.stderr.splitlines()[-1] in page.splitlines()


@pytest.mark.parametrize(
    "said",
    [
        "(openGauss 6.0.0 build aee4abd5) compiled at 2024-09-29 on x86_64-unknown-linux-gnu",
        "(openGauss-lite 7.0.0-RC3 build ) compiled at 2026-04-21 15:29:26 commit 0 last mr",
        "HighGo Security Enterprise Edition Database System 4.5.7 on KylinV10 x86_64",
        "KingbaseES V009R001C002B0014 on x86_64-pc-linux-gnu, compiled by gcc (GCC) 4.8.5",
    ],
    ids=["openGauss", "openGauss-lite", "HighGo", "KingbaseES"],
)
def test_the_version_of_a_relative_is_not_recognised(said: str) -> None:
    connection = MagicMock()
    connection.exec_driver_sql.return_value.scalar.return_value = said
    words = f"Could not determine version from string '{said}'"
    with pytest.raises(AssertionError, match=re.escape(words)):
        asyncpg_dialect.dialect()._get_server_version_info(connection)  # type: ignore[no-untyped-call]


@asynccontextmanager
async def asking(request: bytes) -> AsyncIterator[URL]:
    """A server that answers a login with this request for authentication."""

    async def ask(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await read_login(reader, writer)
        writer.write(b"R" + struct.pack("!i", 4 + len(request)) + request)
        await reader.read()  # until the client gives up
        writer.close()

    async with await asyncio.start_server(ask, "127.0.0.1", 0) as listener:
        port = listener.sockets[0].getsockname()[1]
        yield URL.create("postgresql+asyncpg", "tea", "secret", "127.0.0.1", port, "tea")


SHA256 = struct.pack("!ii64s8si", 10, 2, b"0" * 64, b"1" * 8, 10000)
"""What openGauss sends: its number, how the password is stored, a code, a token, iterations."""
MD5_SHA256 = struct.pack("!i64s4s", 11, b"0" * 64, b"salt")


async def test_neither_driver_knows_the_sha256_of_opengauss() -> None:
    async with asking(SHA256) as url:
        for engine, said in (
            (
                create_async_engine(url),
                "unsupported SASL Authentication methods requested by the server: ''",
            ),
            (
                create_async_engine(with_psycopg(url)),
                "none of the server's SASL authentication mechanisms are supported",
            ),
        ):
            with pytest.raises(Exception, match=re.escape(said)):
                async with engine.connect():
                    pytest.fail("the server lets nobody in")


async def test_the_md5_sha256_of_opengauss_crashes_asyncpg_and_not_psycopg() -> None:
    program = (
        "import asyncio, resource, sys\n"
        "from sqlalchemy.ext.asyncio import create_async_engine\n"
        "resource.setrlimit(resource.RLIMIT_CORE, (0, 0))\n"
        "async def main():\n"
        "    async with create_async_engine(sys.argv[1]).connect(): pass\n"
        "asyncio.run(main())\n"
    )
    async with asking(MD5_SHA256) as url:
        ends: list[tuple[int | None, str]] = []
        for each in (url, with_psycopg(url)):
            ran = await asyncio.create_subprocess_exec(
                sys.executable,
                *("-c", program, each.render_as_string(hide_password=False)),
                stderr=asyncio.subprocess.PIPE,
            )
            _, said = await ran.communicate()
            ends.append((ran.returncode, said.decode()))
    assert ends[0][0] == -signal.SIGSEGV
    assert ends[1][0] == 1
    assert "AUTH_REQ_SASL_CONT without AUTH_REQ_SASL" in ends[1][1]


def test_2_1_lacks_what_the_dialect_of_opengauss_imports() -> None:
    lacks = pytest.raises(ImportError, match=r"^cannot import name 'await_fallback'")
    with nullcontext() if IS_2_0 else lacks:
        exec("from sqlalchemy.util.concurrency import await_fallback")


@pytest.mark.parametrize(
    ("machine", "brings"),
    [
        ("x86_64", True),
        ("AMD64", True),
        ("aarch64", True),
        ("ppc64le", True),
        ("win32", True),
        ("arm64", False),
        ("ARM64", False),
        ("loong64", False),
        ("riscv64", False),
    ],
)
def test_2_0_brings_greenlet_to_the_platforms_on_its_list(machine: str, brings: bool) -> None:
    needs = map(Requirement, metadata("sqlalchemy").get_all("Requires-Dist") or ())
    markers = [need.marker for need in needs if need.name == "greenlet" and need.marker]
    here = {"platform_machine": machine, "extra": ""}
    brought = any(marker.evaluate(here) for marker in markers)
    assert brought is (brings and IS_2_0)


def installs(language: str) -> dict[str, str]:
    """The packages that the page tells its reader to install, with their versions."""
    page = (ROOT / "docs" / language / "start" / "quickstart.md").read_text("utf-8")
    lines = re.findall(r"^pip install (.+)$", page, re.MULTILINE)
    found = re.findall(r"([\w-]+)(?:\[\w+\])?==([\w.]+)", " ".join(lines))
    return dict(found)


@pytest.mark.parametrize("language", LANGUAGES)
def test_the_page_names_the_packages_that_the_snippets_were_proved_with(language: str) -> None:
    lock = (ROOT / "requirements.lock").read_text("utf-8")
    assert installs(language)
    for package, version in installs(language).items():
        assert re.search(rf"^{package}=={re.escape(version)} ", lock, re.MULTILINE), package


@pytest.mark.parametrize("language", LANGUAGES)
def test_the_page_names_each_package_that_a_snippet_imports(language: str) -> None:
    brought = {"greenlet", "starlette"}  # with SQLAlchemy's extra and FastAPI
    modules = {
        (node.module or "" if isinstance(node, ast.ImportFrom) else alias.name).split(".")[0]
        for path in (ROOT / "snippets").rglob("*.py")
        if not {"testing", "production"} & set(path.parts)  # chapters whose pages name their own
        for node in ast.walk(ast.parse(path.read_text("utf-8")))
        if isinstance(node, ast.Import | ast.ImportFrom)
        for alias in node.names
    }
    packages = {name.replace("-", "_") for name in installs(language)}
    packages |= {"opentelemetry"} if "opentelemetry_sdk" in packages else set()
    assert modules - set(sys.stdlib_module_names) - brought <= packages


def test_a_percent_encoded_password_is_decoded() -> None:
    assert make_url("postgresql+asyncpg://tea:p%40ss%2F%23@localhost/tea").password == "p@ss/#"


async def test_a_missing_database_is_wrapped_since_2_1(
    database_url: str, make_engine: MakeEngine
) -> None:
    engine = make_engine(make_url(database_url).set(database="no_such_tea_house"))
    error = asyncpg.InvalidCatalogNameError if IS_2_0 else DBAPIError
    with pytest.raises(error, match='database "no_such_tea_house" does not exist'):
        async with engine.connect():
            pass


async def test_without_commit_the_next_session_finds_nothing(make_engine: MakeEngine) -> None:
    engine = make_engine()
    async with engine.begin() as connection:
        await connection.execute(text("CREATE TABLE orders (id int)"))
    async with AsyncSession(engine) as session:
        await session.execute(text("INSERT INTO orders VALUES (1)"))
    async with AsyncSession(engine) as session:
        assert await session.scalar(text("SELECT count(*) FROM orders")) == 0


async def test_the_orders_snippet_leaves_an_existing_table_alone(
    database_url: str, make_engine: MakeEngine
) -> None:
    engine = make_engine()
    tables = text("SELECT tablename FROM pg_tables WHERE schemaname = 'public'")
    async with engine.begin() as connection:
        await connection.execute(text("CREATE TABLE orders AS SELECT 'yours' AS note"))
    for _ in range(2):
        ran = run(SNIPPETS / "orders.py", database_url)
        assert (ran.returncode, ran.stderr) == (0, "")
    async with engine.connect() as connection:
        assert await connection.scalar(text("SELECT note FROM orders")) == "yours"
        assert list(await connection.scalars(tables)) == ["orders"]


async def test_a_program_without_dispose_disconnects_when_it_ends(
    database_url: str, tmp_path: Path
) -> None:
    hello = (SNIPPETS / "hello.py").read_text("utf-8")
    careless = tmp_path / "careless.py"
    careless.write_text(hello.replace("    await engine.dispose()\n", ""), "utf-8")
    assert "dispose" not in careless.read_text("utf-8")
    ran = run(careless, database_url)
    assert (ran.returncode, ran.stdout) == (0, "longjing, please\n")
    await until_gone(database_url)


@pytest.mark.parametrize("language", LANGUAGES)
def test_the_url_on_the_page_is_that_of_the_compose_file(language: str) -> None:
    page = (ROOT / "docs" / language / "start" / "quickstart.md").read_text("utf-8")
    found = re.search(r"^docker compose up .*\nexport DATABASE_URL=(\S+)$", page, re.MULTILINE)
    assert found
    url = make_url(found[1])
    compose = (ROOT / "docker-compose.yml").read_text("utf-8")
    assert f"{url.port}:5432" in compose
    assert re.search(rf"POSTGRES_PASSWORD: *\"?{url.password}\b", compose)
