"""What a line quotes, an error's words, a name or an SQLSTATE, is said by a run, a test or a tool.

Readers paste these into a search box: one wrong word, and they do not find the page.
"""

import re
from collections.abc import Iterable, Iterator
from functools import cache

import pytest

from tests.prose import QUOTED, every_language, read_listings
from tests.report import report
from tools.paths import LANGUAGES, ROOT
from tools.site.pages import Page, pages

NO_RUN_SAYS = (
    "Bad file descriptor",
    "Cancelled by cancel scope",
    "another command is already in progress",
    "cannot send pipeline when not in pipeline mode",
    "cannot send pipeline",
    "couldn't get a connection after",
    "expected list or ndarray",
    "failed to enter pipeline mode",
    "the pool 'pool-1' is already closed",
    "Fatal error on SSL transport",
    "Max client connections reached",
    "RDS Proxy currently doesn't support command-line options",
    "Tenant or user not found",
    "trio.run received unrecognized yield message",
    "waiting for writers before build",
    "'<=' not supported between instances of",
    "DLL load failed",
    "PGRES_TUPLES_OK and no message from the libpq",
    "Timeout context manager should be used inside a task",
    "UnicodeDecodeError: 'utf-8' codec can't decode byte 0xd6",
    "[Errno -3] Temporary failure in name resolution",
    "certificate verify failed",
    "error with status",
    "Future attached to",
    "lost synchronization with server: got message type",
    "lost synchronization with server",
    "prepared statement already exists",
    "QueuePool limit reached",
    "remaining connection slots are reserved for",
    "roles with privileges of the",
    "roles with the SUPERUSER attribute",
    "self-signed certificate in certificate chain",
    "source database is being accessed by other users",
    "the Python 'greenlet' library is installed",
    "unable to perform operation on",
    "unexpected eof while reading",
)
"""Texts of SQLAlchemy, drivers, PostgreSQL, Python and OpenSSL of which the tests and snippets say
a part, or say it by a pattern, and forms into which readers shorten them."""
NAMES = {
    "--concurrency",
    "--max-async-tasks",
    "--shm-size",
    "3F000",
    "AdminShutdown",
    "AgentOS",
    "AsyncConnectionPool",
    "AsyncIO",
    "AsyncPGInstrumentor",
    "AsyncPGIntegration",
    "AsyncPostgresSaver",
    "BaseHTTPMiddleware",
    "ClientConfigurationError",
    "DatabaseSessionService",
    "DeadlockDetectedError",
    "EnterpriseDB",
    "FastMCP",
    "IdleInTransactionSessionTimeout",
    "MaxClientsInSessionMode",
    "OrderFactory",
    "PGRES_TUPLES_OK",
    "POOL_TIMEOUT",
    "PoolNeverAtRest",
    "PoolWaiting",
    "PostgresContainer",
    "PsycopgInstrumentor",
    "WinError",
    "__async_session__",
    "__asyncpg_savepoint_1__",
    "__asyncpg_stmt_4__",
    "__persistence_method__",
    "_pg3_1",
    "alembic_engine",
    "cache_resource",
    "check_connection",
    "close_returns",
    "create_batch",
    "create_extension",
    "deadlock_timeout",
    "direct_tls",
    "disabled_integrations",
    "do_run_migrations",
    "drop_database",
    "event_loop",
    "force_ssl",
    "from_conn_string",
    "from_url",
    "get_app",
    "get_connection_url",
    "get_db",
    "get_reader",
    "get_settings",
    "hot_standby_feedback",
    "instrument_asyncpg",
    "instrument_psycopg",
    "max_idle",
    "max_jobs",
    "nest_asyncio",
    "not_started",
    "num_init_children",
    "password_encryption_type",
    "pg_dump",
    "pg_lsn",
    "pg_trgm",
    "pool_reserve_prepared_statement",
    "pool_sizes",
    "rds_superuser_reserved_connections",
    "read_sql",
    "refresh_strategy",
    "register_vector",
    "reserve_pool_size",
    "server_lifetime",
    "sqlalchemy_session",
    "sqlalchemy_session_persistence",
    "stateless_http",
    "stats_users",
    "tcp_keepalives_idle",
    "to_sql",
    "wait_time",
}
"""Names of other products, of a reader's own code, and settings that no run of ours touches."""
KUBERNETES = {
    "activeDeadlineSeconds",
    "backoffLimit",
    "concurrencyPolicy",
    "failureThreshold",
    "httpGet",
    "maxSurge",
    "maxUnavailable",
    "periodSeconds",
    "restartPolicy",
    "terminationGracePeriodSeconds",
    "timeoutSeconds",
}
"""Words of its manifests."""
OTHER_POOLS = ("reference/parameters.md", "elsewhere")
"""A section that quotes pools of other languages."""
BESIDE = {"contributing.md"}
"""Pages that quote our tools; tests/test_contributing.py knows what those can say."""

ROOMS = ("docs", "snippets", "tests", "tools")
QUOTES_ERRORS = {"troubleshooting/myths.md"}
"""Pages whose titles are what is not so."""
SHOWN_ELSEWHERE = {"pool_use_lifo=True"}
"""Settings whose run another page has."""

_FILE = re.compile(r"(?<![\w./-])(?:[\w-]+/)*([\w-]+\.(?:py|toml|ini|txt|ya?ml|lock))\b")
_SETTING = re.compile(r"""\b([a-z]\w*_\w+) ?= ?("[^"]*"|[\w.]+)""")
_WORDS = re.compile(r"(?<![\w.=(-])[A-Za-z']{2,}(?: [a-z'/-]+,?){2,}")
_GAP = re.compile(r"""\.\.\.|…|<[^>]*>|(?<!\w)'[^']*'(?!\w)|"[^"]*"|\[[^\]]*\]|\d+""")
_COMMAND = re.compile(
    r"(?:\w+=\S+ )?(?:alembic|docker|from|gunicorn|pip|python|uvicorn|uwsgi)\b|.* = "
)
_NAME = re.compile(r"(?<![\w-])--[a-z][a-z-]{2,}|[A-Za-z_]\w{3,}")
_SHAPED = re.compile(r"^--|_|^[A-Z]?[a-z]+[A-Z]")
_SQLSTATE = re.compile(r"(?=.*\d)[0-9A-Z]{5}")
_QUOTES_PAGES = re.compile(r"search\.toml$|\.claims\.toml$|test_quotes\.py$")
_WINDOW = 4


@cache
def _sources() -> str:
    files = [
        *(path for room in ("snippets", "tests", "tools") for path in (ROOT / room).rglob("*.*")),
        *(ROOT / name for name in ("pyproject.toml", "requirements.lock", "docker-compose.yml")),
    ]
    return "\n".join(
        path.read_text("utf-8", errors="replace")
        for path in files
        if path.is_file()
        and path.suffix not in (".pyc", ".png")
        and not _QUOTES_PAGES.search(path.name)
    )


def _plain(text: str) -> str:
    return " ".join(re.findall(r"[a-z]+", text.replace("\\n", " ").lower()))


@cache
def _said() -> str:
    """All that is said, as words; a string in two lines is whole."""
    text = _sources()
    return _plain(text) + "\n" + _plain(re.sub(r"""["']\s*\n\s*f?["']""", "", text))


@cache
def _names() -> set[str]:
    return set(re.findall(r"--[a-z][a-z-]+|\w+", _sources()))


def unsaid(span: str, exceptions: Iterable[str] = NO_RUN_SAYS) -> list[str]:
    """The words of a quoted error that stand together in nothing that was run."""
    if _COMMAND.match(span):
        return []
    for said in exceptions:
        span = span.replace(said, " ... ")
    return [
        part
        for piece in _GAP.split(span)
        for match in _WORDS.finditer(piece)
        for words in [_plain(match[0]).split()]
        for start in range(max(1, len(words) - _WINDOW + 1))
        if (part := " ".join(words[start : start + _WINDOW])) not in _said()
    ]


def unknown(span: str) -> list[str]:
    """The names and SQLSTATEs in a span that stand in nothing that was run."""
    if _SQLSTATE.fullmatch(span):
        return [span] if span not in _names() and span not in NAMES else []
    exceptions = NAMES | KUBERNETES
    return [name for name in names_in(span) if name not in _names() and name not in exceptions]


def names_in(span: str) -> list[str]:
    """What in a span has the form of a name: `pool_size`, `AsyncSession`, `--reload`."""
    return [name for name in _NAME.findall(span) if _SHAPED.search(name.strip("_"))]


def spans(language: str) -> Iterator[tuple[str, str]]:
    """Where a page quotes something, and what."""
    for page in pages(language):
        if page.name not in BESIDE:
            elsewhere = {
                number
                for section in page.sections()
                if (page.name, section.id) == OTHER_POOLS
                for number, _ in section.lines
            }
            for number, line in page.prose():
                if number in elsewhere:
                    continue
                for span in QUOTED.findall(line):
                    yield f"{page.file}:{number}", span


def descriptions() -> Iterator[tuple[str, str]]:
    """Where a Chinese page says English words to search engines, an error's, and which words."""
    for page in pages("zh"):
        for number, line in enumerate(page.lines[:4], 1):
            if line.startswith("description:"):
                for part in line.split(" / "):
                    for found in _WORDS.finditer(part):
                        yield f"{page.file}:{number}", found[0]


@every_language
def test_an_error_that_a_line_quotes_is_one_that_was_raised(language: str) -> None:
    report(
        f"{where}: quotes `{span[:60]}`, and no snippet and no test says “{words[0]}”; quote what "
        "was raised, or link its source and add it to NO_RUN_SAYS in tests/rules/test_quotes.py"
        for where, span in spans(language)
        if (words := unsaid(span))
    )


def test_an_error_that_a_description_quotes_is_one_that_was_raised() -> None:
    report(
        f"{where}: says “{said[:60]}” to search engines, and no snippet and no test says "
        f"“{words[0]}”; quote what was raised, in both languages"
        for where, said in descriptions()
        if (words := unsaid(said))
    )


def test_an_error_that_a_run_says_or_no_page_quotes_is_no_exception() -> None:
    quoted = [*spans("zh"), *spans("en"), *descriptions()]
    report(
        f"tests/rules/test_quotes.py: “{said}” needs no exception any more; take it out of "
        "NO_RUN_SAYS"
        for said in NO_RUN_SAYS
        for others in [[other for other in NO_RUN_SAYS if other != said]]
        if not any(unsaid(span, others) for _, span in quoted if said in span)
    )


@every_language
def test_a_name_that_a_line_quotes_is_one_that_is_used(language: str) -> None:
    report(
        f"{where}: names `{name}`, which is in no snippet, test or tool; mend it, or link "
        "the manual that has it and add it to NAMES in tests/rules/test_quotes.py"
        for where, span in spans(language)
        for name in unknown(span)
    )


def test_a_name_that_is_used_or_that_no_page_quotes_is_no_exception() -> None:
    quoted = [span for language in LANGUAGES for _, span in spans(language)]
    needed = {name for span in quoted for name in [span, *names_in(span)]} - _names()
    report(
        f"tests/rules/test_quotes.py: {name} needs no exception any more; take it out of {where}"
        for where, names in (("NAMES", NAMES), ("KUBERNETES", KUBERNETES))
        for name in sorted(names - needed)
    )


@every_language
def test_a_file_that_a_page_names_is_there(language: str) -> None:
    there = {path.name for room in ROOMS for path in (ROOT / room).rglob("*.*")}
    there |= {path.name for path in ROOT.iterdir()}
    report(
        f"{page.file}:{number}: names {name}, and there is no such file; mend the name"
        for page in pages(language)
        if page.name not in BESIDE
        for number, line in enumerate(page.lines, 1)
        if "--8<--" not in line  # another rule knows includes
        for name in _FILE.findall(line)
        if name not in there and name not in _sources()
    )


@every_language
def test_a_setting_in_a_title_is_one_that_the_page_runs(language: str) -> None:
    report(
        f"{page.file}:{section.line}: says {name}={value} in a title, and no listing and no test "
        "of the page sets that; say what was run"
        for page in pages(language)
        if page.name not in QUOTES_ERRORS
        for section in page.sections()
        for name, value in _SETTING.findall(section.title)
        if f"{name}={value}" not in _settings(page) and f"{name}={value}" not in SHOWN_ELSEWHERE
    )


def _settings(page: Page) -> str:
    """The listings and tests of a page, each setting as `name=value`."""
    tests = (ROOT / "tests" / page.name).with_name(f"test_{page.path.stem}.py")
    text = read_listings(page.text) + (tests.read_text("utf-8") if tests.is_file() else "")
    return re.sub(r"""["']?\s*[=:]\s*""", "=", text).replace("'", '"')


@pytest.mark.parametrize(
    ("span", "wrong"),
    [
        ("canceling statement due to lock timeout", False),
        ("cancelling statement due to lock timeout", True),
        ("Can't operate on closed transaction inside context manager", False),
        ("Can't operate on a closed transaction inside context manager", True),
        ('prepared statement "__asyncpg_stmt_4__" does not exist', False),
        ("docker stop and wait", False),
        ("pool_size", False),
    ],
)
def test_one_wrong_word_of_an_error_is_found(span: str, wrong: bool) -> None:
    assert bool(unsaid(span)) == wrong


@pytest.mark.parametrize(
    ("span", "wrong"),
    [
        ("pool_size=5", []),
        ("pool_sise=5", ["pool_sise"]),
        ("AsyncSesion(engine)", ["AsyncSesion"]),
        ("40P01", []),
        ("40P09", ["40P09"]),
        ("uvicorn --reload-dirs", ["--reload-dirs"]),
        ("failureThreshhold", ["failureThreshhold"]),
        ("word", []),
    ],
)
def test_a_name_that_nothing_has_is_found(span: str, wrong: list[str]) -> None:
    assert unknown(span) == wrong
