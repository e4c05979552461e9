"""The tables of the parameter reference say what the installed SQLAlchemy and asyncpg say."""

import gc
import inspect
import re
from ast import literal_eval
from collections.abc import Iterator
from contextlib import AsyncExitStack, nullcontext, suppress
from pathlib import Path
from typing import Any, NamedTuple

import asyncpg  # type: ignore[import-untyped]
import pytest
import sqlalchemy
from packaging.version import Version
from sqlalchemy import Engine, create_engine, exc, text
from sqlalchemy.dialects import plugins
from sqlalchemy.engine import CreateEnginePlugin, create
from sqlalchemy.engine.default import DefaultDialect
from sqlalchemy.ext.asyncio import (
    AsyncEngine,
    async_engine_from_config,
    create_async_engine,
)
from sqlalchemy.pool import AsyncAdaptedQueuePool, NullPool, Pool, QueuePool
from sqlalchemy.util import get_cls_kwargs

from tests.pools import MakeEngine, record
from tests.report import report, require_on
from tests.versions import SQLALCHEMY
from tools.paths import DOCS, LANGUAGES, ROOT
from tools.postgres import dsn_of
from tools.site.pages import Page

URL = "postgresql+asyncpg://guest@127.0.0.1/teahouse"
HERE = Path(__file__).relative_to(ROOT).as_posix()
ROW = re.compile(r"^\| `(\w+)` \| ([^,，]+)(?:, |，)(.+?) \| (.+) \|$")
SINCE = re.compile(r"Since ([\d.]+\d)|([\d.]+\d) 起")
INTERNAL = {"creator", "dialect", "_dispatch"}
"""Arguments of the pool's class that `create_async_engine` fills in itself."""
NOT_ABOUT_THE_POOL = {
    "echo",
    "empty_in_strategy",
    "enable_from_linting",
    "execution_options",
    "future",
    "hide_parameters",
    "implicit_returning",
    "insertmanyvalues_page_size",
    "json_deserializer",
    "json_serializer",
    "label_length",
    "max_identifier_length",
    "module",
    "paramstyle",
    "query_cache_size",
    "use_insertmanyvalues",
}
"""Documented arguments of `create_engine` that the page leaves out on purpose."""

each_language = pytest.mark.parametrize("language", LANGUAGES)


class Argument(NamedTuple):
    """A row of one of the page's tables."""

    where: str
    name: str
    default: str
    type: str
    about: str

    @property
    def since(self) -> str:
        """The SQLAlchemy that brought it; where the row does not say, that of the function."""
        told = SINCE.search(self.about)
        return str(told[1] or told[2]) if told else "1.4"

    @property
    def value(self) -> Any:
        """The default as a Python object; what is no literal, as text."""
        with suppress(ValueError, SyntaxError):
            return literal_eval(self.default.strip("`"))
        return self.default.strip("`")


def page(language: str) -> Page:
    return Page(DOCS / language / "reference" / "parameters.md")


def arguments(language: str, *, of_asyncpg: bool = False) -> list[Argument]:
    """The rows of the tables on `create_async_engine`, or of the one on `connect_args`."""
    return [
        Argument(f"{page(language).file}:{number}", *row.groups())
        for section in page(language).sections()
        if (section.id == "asyncpg") == of_asyncpg
        for number, line in section.lines
        if (row := ROW.match(line))
    ]


def defaults(*classes: type) -> dict[str, Any]:
    """The defaults of the classes' arguments; what has none is left out."""
    return {
        name: parameter.default
        for cls in classes
        for name, parameter in inspect.signature(cls).parameters.items()
        if parameter.default is not parameter.empty
    }


def of_the_pools_class() -> dict[str, Any]:
    """The arguments of the default pool class under their names as arguments of the engine."""
    classes = [cls for cls in AsyncAdaptedQueuePool.__mro__ if issubclass(cls, Pool)]
    return {
        create._pool_translate_kwargs.get(name, name): default
        for name, default in defaults(*reversed(classes)).items()
        if name in get_cls_kwargs(AsyncAdaptedQueuePool) - INTERNAL
    }


def documented() -> dict[str, str]:
    """What SQLAlchemy documents of each argument of `create_engine` and `create_async_engine`."""
    entry = re.compile(r":param (\w+)[^:]*:(.*?)(?=\n *:param |\Z)", re.DOTALL)  # 3.13 dedents
    return {
        name: about
        for function in (create_engine, create_async_engine)
        for name, about in entry.findall(function.__doc__ or "")
    }


def settings(engine: AsyncEngine) -> dict[str, object]:
    """What an engine and its pool are set to, as far as it can be compared."""
    own = {**vars(engine.pool), **vars(engine.dialect)}
    return {
        "class": type(engine.pool),
        **{name: value for name, value in own.items() if type(value) in (int, float, bool, str)},
        "reset": engine.pool._reset_on_return,
    }


@each_language
def test_every_argument_that_concerns_the_pool_is_in_a_table(language: str) -> None:
    listed = {argument.name for argument in arguments(language)}
    known = set(documented()) | set(of_the_pools_class())

    def findings() -> Iterator[str]:
        for name in sorted(known - listed - NOT_ABOUT_THE_POOL):
            yield (
                f"{page(language).file}: SQLAlchemy {SQLALCHEMY} takes {name}; give it "
                f"a row, or name it in NOT_ABOUT_THE_POOL of {HERE}"
            )
        for name in sorted(listed - known):
            yield (
                f"{page(language).file}: SQLAlchemy {SQLALCHEMY} knows no {name}; take its row out"
            )

    report(findings())


@each_language
def test_every_default_is_that_of_the_signature(language: str) -> None:
    signatures = {
        **of_the_pools_class(),
        **defaults(DefaultDialect, Engine),
        "pool_reset_on_return": "rollback",  # `True` there, which means the same
        "poolclass": create_async_engine(URL)
        .dialect.get_dialect_pool_class(sqlalchemy.make_url(URL))
        .__name__,
    }
    report(
        f"{row.where}: the default of {row.name} is {signatures[row.name]!r}; correct it"
        for row in arguments(language)
        if row.name in signatures and row.value != signatures[row.name]
    )


@each_language
def test_a_default_spelled_out_changes_nothing(language: str) -> None:
    default = settings(create_async_engine(URL))
    for row in arguments(language):
        if row.name not in ("poolclass", "creator"):
            spelled_out = create_async_engine(URL, **{row.name: row.value})
            assert settings(spelled_out) == default, row.where


@each_language
def test_since_when_is_what_sqlalchemys_documentation_says(language: str) -> None:
    def came_with(name: str) -> str:
        added = re.findall(r"versionadded:: ([\d.]+)", documented().get(name, ""))
        versions = map(Version, [*added, "1.4"])  # with which `create_async_engine` came
        return str(max(versions))

    report(
        f"{row.where}: {row.name} came with {came_with(row.name)}; correct it"
        for row in arguments(language)
        if row.since != came_with(row.name)
    )


@each_language
def test_every_row_leads_to_a_page_that_says_more(language: str) -> None:
    report(
        f"{row.where}: {row.name} has no link; link the page that shows it"
        for row in arguments(language) + arguments(language, of_asyncpg=True)
        if "](" not in row.about
    )


@each_language
async def test_the_keys_of_connect_args_have_the_drivers_defaults(
    language: str, make_engine: MakeEngine
) -> None:
    signature = inspect.signature(asyncpg.connect).parameters
    rows = {row.name: row for row in arguments(language, of_asyncpg=True)}
    theirs = {name: row.value for name, row in rows.items() if name in signature}
    assert len(theirs) == 5
    assert {name: signature[name].default for name in theirs} == theirs

    engine = make_engine()
    async with engine.connect() as connection:
        adapted: Any = (await connection.get_raw_connection()).dbapi_connection
        cache = adapted._prepared_statement_cache
        assert cache.capacity == rows["prepared_statement_cache_size"].value
        assert adapted._prepared_statement_name_func() is None
    await engine.dispose()
    assert rows["prepared_statement_name_func"].value is None


@pytest.mark.parametrize(
    ("sizes", "named"),
    [
        ({}, 20),
        ({"prepared_statement_cache_size": 0}, 1),  # the statement that counts
        ({"statement_cache_size": 0}, 0),
    ],
    ids=str,
)
async def test_either_cache_of_prepared_statements_can_be_turned_off(
    make_engine: MakeEngine, sizes: dict[str, int], named: int
) -> None:
    engine = make_engine(connect_args=sizes)
    async with engine.connect() as connection:
        for number in range(20):
            await connection.execute(text(f"SELECT {number}"))
        kept = await connection.scalar(text("SELECT count(*) FROM pg_prepared_statements"))
    await engine.dispose()
    assert kept is not None
    assert kept >= named if named == 20 else kept == named


async def test_a_cache_size_may_stand_in_the_url(
    database_url: str, make_engine: MakeEngine
) -> None:
    engine = make_engine(f"{database_url}?prepared_statement_cache_size=7")
    async with engine.connect() as connection:
        adapted: Any = (await connection.get_raw_connection()).dbapi_connection
        assert adapted._prepared_statement_cache.capacity == 7


async def test_a_wrong_isolation_level_is_refused_with_the_first_connection(
    make_engine: MakeEngine,
) -> None:
    engine = make_engine(isolation_level="SERIOUS")
    with pytest.raises(exc.ArgumentError, match="Invalid value 'SERIOUS' for isolation_level"):
        await engine.connect()


class PoolSettings(CreateEnginePlugin):
    def update_url(self, url: sqlalchemy.URL) -> sqlalchemy.URL:
        return url

    def handle_pool_kwargs(self, pool_cls: type[Pool], pool_args: dict[str, Any]) -> None:
        pool_args.update(pre_ping=True, recycle=1800)


@pytest.mark.parametrize("poolclass", [AsyncAdaptedQueuePool, NullPool])
def test_a_plugin_has_the_last_word_on_the_pool(poolclass: type[Pool]) -> None:
    plugins.register("pool_settings", __name__, PoolSettings.__name__)
    passed: dict[str, Any] = {"pool_pre_ping": False, "pool_recycle": -1, "poolclass": poolclass}
    pool: Any = create_async_engine(f"{URL}?plugin=pool_settings", **passed).pool
    assert (pool._pre_ping, pool._recycle) == (True, 1800)


@pytest.mark.parametrize("name", ["pre_ping", "recycle", "timeout", "pool_size", "max_overflow"])
def test_the_keys_of_a_plugin_are_the_arguments_of_the_class(
    name: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    def handle(_: Any, __: type[Pool], arguments: dict[str, Any]) -> None:
        arguments[asked] = 7

    monkeypatch.setattr(PoolSettings, "handle_pool_kwargs", handle)
    plugins.register("pool_settings", __name__, PoolSettings.__name__)
    for asked in (name, name.removeprefix("pool_") if "pool_" in name else f"pool_{name}"):
        refused = pytest.raises(TypeError, match=f"unexpected keyword argument '{asked}'")
        with nullcontext() if asked == name else refused:
            create_async_engine(f"{URL}?plugin=pool_settings")


async def test_two_engines_share_a_pool_until_one_is_disposed(make_engine: MakeEngine) -> None:
    first = make_engine()
    second = make_engine(pool=first.pool)
    async with second.connect():
        assert isinstance(first.pool, QueuePool)
        assert first.pool.checkedout() == 1
    await second.dispose()
    assert second.pool is not first.pool


@pytest.mark.parametrize("other", [{"pool_size": 3}, {"poolclass": NullPool}])
def test_beside_a_pool_no_other_argument_of_the_pool_is_taken(other: dict[str, Any]) -> None:
    pool = create_async_engine(URL).pool
    with pytest.raises(TypeError, match=rf"Invalid argument\(s\) '{next(iter(other))}'"):
        create_async_engine(URL, pool=pool, **other)


@pytest.mark.parametrize("name", ["pool_size", "max_overflow", "pool_timeout", "pool_use_lifo"])
def test_null_pool_knows_none_of_the_first_table(name: str) -> None:
    section = next(part for part in page("en").sections() if part.id == "size")
    assert name in section.text
    with pytest.raises(TypeError, match="PGDialect_asyncpg/NullPool/Engine"):
        create_async_engine(URL, poolclass=NullPool, **{name: 1})


@pytest.mark.parametrize(
    ("driver", "refused"),
    [("asyncpg", {"executemany_mode", "client_encoding"}), ("psycopg", {"executemany_mode"})],
)
def test_arguments_of_psycopg2_are_refused(driver: str, refused: set[str]) -> None:
    arguments = {"executemany_mode": "values_plus_batch", "client_encoding": "utf8"}
    url = f"postgresql+{driver}://guest@127.0.0.1/teahouse"
    for name, value in arguments.items():
        expected = (
            pytest.raises(TypeError, match=rf"Invalid argument\(s\) '{name}'")
            if name in refused
            else nullcontext()
        )
        with expected:
            create_async_engine(url, **{name: value})


@pytest.mark.parametrize(("pool_size", "opened"), [(2, 2 + 5 * 8), (10, 10)])
async def test_a_minimum_written_into_pool_size_opens_and_closes_the_rest(
    make_engine: MakeEngine, pool_size: int, opened: int
) -> None:
    engine = make_engine(pool_size=pool_size, max_overflow=10 - pool_size)
    connects = record(engine, "connect")
    for _ in range(5):
        async with AsyncExitStack() as guests:
            for _ in range(10):
                await guests.enter_async_context(engine.connect())
    assert len(connects) == opened


async def test_pool_events_are_listeners_from_the_start(make_engine: MakeEngine) -> None:
    seen: list[str] = []
    engine = make_engine(pool_events=[(lambda *_: seen.append("connect"), "connect")])
    async with engine.connect():
        assert seen == ["connect"]


def test_the_names_of_two_engines_end_the_names_of_their_loggers() -> None:
    engine = create_async_engine(URL, pool_logging_name="reports", logging_name="sql")
    loggers: list[Any] = [engine.pool.logger, engine.sync_engine.logger]
    assert [logger.name.split(".")[-1] for logger in loggers] == ["reports", "sql"]


async def test_the_creator_ignores_url_and_connect_args(
    database_url: str, make_engine: MakeEngine
) -> None:
    dsn = dsn_of(database_url)

    async def connect() -> Any:
        return await asyncpg.connect(dsn)

    engine = make_engine(
        "postgresql+asyncpg://nobody@nowhere.invalid/nothing",
        connect_args={"no_such_argument": True},
        async_creator=connect,
    )
    async with engine.connect() as connection:
        assert await connection.scalar(text("SELECT 'oolong'")) == "oolong"


def test_a_configuration_of_strings_takes_no_fraction_of_a_second() -> None:
    config = {"sqlalchemy.url": URL, "sqlalchemy.pool_timeout": "0.5"}
    with pytest.raises(ValueError, match="invalid literal for int"):
        async_engine_from_config(config)


def test_a_configuration_of_strings_turns_false_into_true() -> None:
    config = {"sqlalchemy.url": URL, "sqlalchemy.pool_use_lifo": "false"}
    pool: Any = async_engine_from_config(config).pool
    assert pool._pool.use_lifo == "false"


async def test_a_password_may_be_a_coroutine_function_called_for_each_connection(
    database_url: str,
    make_engine: MakeEngine,
) -> None:
    url = sqlalchemy.make_url(database_url)
    asked: list[str | None] = []

    async def token() -> str | None:
        asked.append(url.password)
        return url.password

    engine = make_engine(url.set(password=None), connect_args={"password": token})
    for _ in range(2):
        async with engine.connect(), engine.connect():
            pass
    await engine.dispose()
    assert len(asked) == 2


@pytest.mark.filterwarnings("ignore:coroutine 'Queue.get' was never awaited")  # since Python 3.12
async def test_a_pool_timeout_that_is_a_string_fails_in_words_that_the_page_has(
    make_engine: MakeEngine,
) -> None:
    pool: dict[str, Any] = {"pool_size": 1, "max_overflow": 0, "pool_timeout": "5"}
    engine = make_engine(**pool)
    async with engine.connect():
        try:
            await engine.connect()
        except TypeError as error:
            said = str(error)
    await engine.dispose()
    gc.collect()  # the warning is of this test
    require_on("reference/parameters", f"`{said}`")


def test_future_is_taken_and_does_nothing() -> None:
    assert settings(create_async_engine(URL, future=True)) == settings(create_async_engine(URL))
