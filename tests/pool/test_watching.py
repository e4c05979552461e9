"""What the page on watching the pool says beyond what its snippets print."""

import asyncio
import gc
import logging
import re
import runpy
from collections.abc import Iterator
from pathlib import Path
from secrets import token_hex
from typing import Any

import pytest
from opentelemetry.sdk.metrics import MeterProvider
from opentelemetry.sdk.metrics.export import InMemoryMetricReader
from opentelemetry.semconv._incubating.metrics import db_metrics
from prometheus_client import REGISTRY, make_asgi_app
from sqlalchemy import event, exc, make_url, text
from sqlalchemy.ext.asyncio import AsyncConnection, AsyncEngine, AsyncSession, create_async_engine
from sqlalchemy.pool import (
    AsyncAdaptedQueuePool,
    NullPool,
    PoolProxiedConnection,
    StaticPool,
)

from tests.pools import MakeEngine, leaves_open, one_connection, pool_of, record, with_psycopg
from tests.prose import sql_fences
from tests.waiting import eventually
from tools.paths import DOCS, SNIPPETS

SELECT = text("SELECT 'longjing'")
FENCE = re.compile(r"^```(\w+)\n(.*?)^```$", re.MULTILINE | re.DOTALL)
METRIC = re.compile(r"\bdb_client_connection_(?!state\b|pool_name\b)\w+")


@pytest.fixture
def engine(make_engine: MakeEngine) -> AsyncEngine:
    return one_connection(make_engine)


def fences(language: str, kind: str) -> list[str]:
    """The blocks of a kind on the page."""
    page = (DOCS / language / "pool" / "watching.md").read_text("utf-8")
    return [block for name, block in FENCE.findall(page) if name == kind]


# The numbers


async def test_size_and_overflow_add_up_to_the_open_connections(make_engine: MakeEngine) -> None:
    engine = make_engine(pool_size=2)
    connections = [await engine.connect() for _ in range(3)]
    assert (pool_of(engine).size() + pool_of(engine).overflow()) == 3
    for connection in connections:
        await connection.close()
    assert (pool_of(engine).size() + pool_of(engine).overflow()) == 2


async def test_without_a_size_size_and_overflow_add_up_to_nothing(make_engine: MakeEngine) -> None:
    engine = make_engine(pool_size=0)
    async with engine.connect(), engine.connect():
        pool = pool_of(engine)
        assert (pool.size() + pool.overflow(), pool.checkedout()) == (0, 2)


@leaves_open
async def test_dispose_puts_another_pool_in_its_place(engine: AsyncEngine) -> None:
    before = engine.pool
    async with engine.connect():
        await engine.dispose()
        assert engine.pool is not before
        assert pool_of(engine).checkedout() == 0  # what the old one has lent


@leaves_open
async def test_dispose_without_close_has_neither_close_nor_close_detached(
    engine: AsyncEngine,
) -> None:
    seen = record(engine, "connect", "close", "close_detached")
    async with engine.connect() as connection:
        await connection.execute(SELECT)
    await engine.dispose(close=False)
    gc.collect()
    assert seen == ["connect"]


async def test_an_invalidated_connection_leaves_a_place_that_is_counted(
    engine: AsyncEngine,
) -> None:
    async with engine.connect() as connection:
        await connection.invalidate()
    assert pool_of(engine).checkedin() == 1
    connects: list[object] = []
    event.listen(engine.sync_engine, "connect", lambda *seen: connects.append(seen))
    async with engine.connect():
        assert len(connects) == 1


@pytest.mark.parametrize("poolclass", [NullPool, StaticPool])
def test_other_pools_have_no_numbers_and_a_word_for_a_status(
    database_url: str, poolclass: type[Any]
) -> None:
    pool = create_async_engine(database_url, poolclass=poolclass).pool
    assert not hasattr(pool, "checkedout")
    assert pool.status() == poolclass.__name__


async def test_with_null_pool_connect_minus_close_is_what_is_open(make_engine: MakeEngine) -> None:
    engine = make_engine(poolclass=NullPool)
    happened = record(engine, "connect", "close", "close_detached")
    first, second = await engine.connect(), await engine.connect()
    assert happened == ["connect", "connect"]
    await first.close()
    await second.invalidate()
    await second.close()
    async with AsyncSession(engine) as session:
        for _ in range(2):
            await session.execute(SELECT)
            await session.commit()
    assert (happened.count("connect"), happened.count("close")) == (4, 4)
    assert "close_detached" not in happened


async def test_a_connect_listener_that_raises_leaves_a_connect_without_a_close(
    make_engine: MakeEngine,
) -> None:
    engine = make_engine(poolclass=NullPool)
    happened = record(engine, "connect", "close", "close_detached")

    @event.listens_for(engine.sync_engine, "connect")
    def fail(*_: object) -> None:
        raise ValueError

    with pytest.raises(ValueError):  # noqa: PT011  # it is its own
        await engine.connect()
    assert happened == ["connect"]


# The log


async def test_a_healthy_pool_says_nothing_at_info(
    engine: AsyncEngine, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.INFO, "sqlalchemy.pool")
    for _ in range(3):
        async with AsyncSession(engine) as session:
            await session.execute(SELECT)
    assert caplog.messages == []


async def test_at_info_a_connection_that_is_recycled_is_logged(
    make_engine: MakeEngine, caplog: pytest.LogCaptureFixture
) -> None:
    engine = make_engine(pool_recycle=0)  # each connection is too old
    caplog.set_level(logging.INFO, "sqlalchemy.pool")
    async with engine.connect():
        pass
    assert caplog.messages
    assert all(said.endswith("exceeded timeout; recycling") for said in caplog.messages)


async def test_at_info_a_cancelled_query_and_dispose_are_logged(
    engine: AsyncEngine, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.INFO, "sqlalchemy.pool")
    async with engine.connect() as connection:
        with pytest.raises(TimeoutError):
            async with asyncio.timeout(0.1):
                await connection.execute(text("SELECT pg_sleep(60)"))
    await engine.dispose()
    invalidated, disposed, recreating = caplog.messages
    assert invalidated.startswith("Invalidate connection")
    assert disposed.startswith("Pool disposed")
    assert recreating == "Pool recreating"


async def test_waiting_and_timeouts_are_not_logged_at_all(
    engine: AsyncEngine, caplog: pytest.LogCaptureFixture
) -> None:
    async with engine.connect():
        caplog.set_level(logging.DEBUG, "sqlalchemy")
        with pytest.raises(exc.TimeoutError):
            await engine.connect()
        assert caplog.messages == []


async def test_echo_pool_adds_a_handler_so_lines_come_twice(
    make_engine: MakeEngine, capfd: pytest.CaptureFixture[str]
) -> None:
    ours = logging.StreamHandler()
    logging.getLogger().addHandler(ours)
    try:
        engine = make_engine(echo_pool=True)
        async with engine.connect() as connection:
            await connection.invalidate()
    finally:
        logging.getLogger().removeHandler(ours)
        added = logging.getLogger("sqlalchemy").handlers
        for handler in [one for one in added if isinstance(one, logging.StreamHandler)]:
            logging.getLogger("sqlalchemy").removeHandler(handler)
    out, err = capfd.readouterr()
    assert (out + err).count("Invalidate connection") == 2


async def test_a_logging_name_tells_two_pools_apart(
    make_engine: MakeEngine, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.INFO, "sqlalchemy.pool")
    engine = make_engine(pool_logging_name="orders")
    await engine.dispose()
    assert {record.name.rpartition(".")[2] for record in caplog.records} == {"orders"}


# Events


async def test_a_listener_of_the_sync_engine_survives_dispose(engine: AsyncEngine) -> None:
    seen: list[object] = []
    event.listen(engine.sync_engine, "checkout", lambda *arguments: seen.append(arguments))
    for _ in range(2):
        async with engine.connect():
            pass
        await engine.dispose()
    assert len(seen) == 2


@pytest.fixture
def counted(engine: AsyncEngine) -> dict[str, int]:
    """How often a connection was checked out and in, as events tell it."""
    counts = {"checkout": 0, "checkin": 0}

    def count(name: str) -> None:
        counts[name] += 1

    event.listen(engine.sync_engine, "checkout", lambda *_: count("checkout"))
    event.listen(engine.sync_engine, "checkin", lambda *_: count("checkin"))
    return counts


@pytest.fixture
def no_collector() -> Iterator[None]:
    """Garbage is collected when the test says so."""
    gc.disable()
    yield
    gc.enable()


@leaves_open
@pytest.mark.filterwarnings("ignore::sqlalchemy.exc.SAWarning")
async def test_a_collected_leak_closes_as_close_detached_and_not_as_close(
    make_engine: MakeEngine, watcher: AsyncConnection, no_collector: None
) -> None:
    engine = make_engine()
    happened = record(engine, "connect", "close", "close_detached")

    async def leak() -> None:
        await AsyncSession(engine).execute(SELECT)

    for _ in range(3):
        await leak()
    gc.collect()
    assert (happened.count("connect"), happened.count("close")) == (3, 0)
    assert happened.count("close_detached") == 3
    alone = text(
        "SELECT count(*) = 0 FROM pg_stat_activity"
        " WHERE datname = current_database() AND pid <> pg_backend_pid()"
    )
    await eventually("no connection is left", lambda: watcher.scalar(alone))


@leaves_open
@pytest.mark.filterwarnings("ignore::sqlalchemy.exc.SAWarning")
async def test_a_collected_leak_of_psycopg_has_neither_close_nor_close_detached(
    make_engine: MakeEngine, database_url: str, no_collector: None
) -> None:
    engine = make_engine(with_psycopg(database_url))
    happened = record(engine, "connect", "reset", "close", "close_detached")

    async def leak() -> None:
        await AsyncSession(engine).execute(SELECT)

    await leak()
    gc.collect()
    assert happened == ["connect", "reset"]


@leaves_open
@pytest.mark.filterwarnings("ignore::sqlalchemy.exc.SAWarning")
async def test_a_collected_leak_makes_events_count_too_many(
    engine: AsyncEngine, counted: dict[str, int], no_collector: None
) -> None:
    async def leak() -> None:
        await AsyncSession(engine).execute(SELECT)

    await leak()
    gc.collect()
    assert counted["checkout"] - counted["checkin"] == 1
    assert pool_of(engine).checkedout() == 0


async def test_a_place_that_cannot_connect_again_makes_events_count_too_few(
    engine: AsyncEngine, counted: dict[str, int]
) -> None:
    async with engine.connect() as connection:
        await connection.invalidate()

    @event.listens_for(engine.sync_engine, "do_connect")
    def refuse(*_: object) -> None:
        raise ConnectionRefusedError

    with pytest.raises(ConnectionRefusedError):
        await engine.connect()
    assert counted["checkout"] - counted["checkin"] == -1
    assert pool_of(engine).checkedout() == 0


# Metrics


def names_in(snippet: str) -> set[str]:
    """The metrics that a snippet makes, by their full names."""
    source = (SNIPPETS / "pool" / "watching" / snippet).read_text("utf-8")
    return set(re.findall(r"\{NAME\}(?!state|pool_name)\.?([a-z_]+(?:\.[a-z_]+)*)", source))


@pytest.fixture
def prometheus(database_url: str, monkeypatch: pytest.MonkeyPatch) -> Iterator[dict[str, Any]]:
    """What the snippet for Prometheus defines, after it has run."""
    monkeypatch.setenv("DATABASE_URL", database_url)
    known = set(REGISTRY._collector_to_names)
    yield runpy.run_path(str(SNIPPETS / "pool" / "watching" / "prometheus.py"))
    for collector in set(REGISTRY._collector_to_names) - known:
        REGISTRY.unregister(collector)


def test_who_waits_is_pending_and_a_pool_after_dispose_is_counted(
    prometheus: dict[str, Any], database_url: str
) -> None:
    def value(gauge: Any) -> float:
        return float(gauge.collect()[0].samples[0].value)

    async def wait() -> None:
        engine = create_async_engine(
            database_url,
            poolclass=prometheus["WatchedPool"],
            pool_size=1,
            max_overflow=0,
            pool_logging_name="tea",
        )
        await engine.dispose()
        pending = prometheus["PENDING"].labels("tea")
        async with engine.connect():
            assert value(prometheus["COUNT"].labels("tea", "used")) == 1
            late = asyncio.create_task(engine.connect().start())
            await asyncio.sleep(0)
            assert value(pending) == 1
        await (await late).close()
        assert value(pending) == 0
        assert value(prometheus["COUNT"].labels("tea", "idle")) == 1
        await engine.dispose()

    asyncio.run(wait())


def test_a_cancelled_wait_and_a_refused_connection_are_no_timeouts(
    prometheus: dict[str, Any], database_url: str
) -> None:
    options: dict[str, Any] = {"poolclass": prometheus["WatchedPool"], "pool_logging_name": "tea"}

    async def fail_twice() -> None:
        engine = create_async_engine(database_url, pool_size=1, max_overflow=0, **options)
        async with engine.connect():
            with pytest.raises(TimeoutError):
                async with asyncio.timeout(0.05):
                    await engine.connect()
        await engine.dispose()
        nowhere = create_async_engine(make_url(database_url).set(port=1), **options)
        with pytest.raises(OSError, match="Connect"):
            await nowhere.connect()

    asyncio.run(fail_twice())
    samples = prometheus["TIMEOUTS"].labels("tea").collect()[0].samples
    assert samples[0].value == 0
    assert prometheus["PENDING"].labels("tea").collect()[0].samples[0].value == 0


def test_the_metrics_endpoint_asks_the_pool_when_it_is_asked(prometheus: dict[str, Any]) -> None:
    body: list[bytes] = []

    async def receive() -> dict[str, Any]:
        return {"type": "http.request", "body": b"", "more_body": False}

    async def send(message: dict[str, Any]) -> None:
        body.append(message.get("body", b""))

    async def scrape() -> None:
        scope = {"type": "http", "method": "GET", "path": "/", "headers": [], "query_string": b""}
        await make_asgi_app()(scope, receive, send)

    def lent(name: str) -> float:
        labels = f'db_client_connection_pool_name="{name}",db_client_connection_state="used"'
        [line] = [
            line
            for line in body[-1].decode().splitlines()
            if line.startswith(f"db_client_connection_count{{{labels}}}")
        ]
        return float(line.rpartition(" ")[2])

    async def two_scrapes() -> None:
        async with prometheus["orders"].connect():
            await scrape()
            assert (lent("orders"), lent("reports")) == (1, 0)
        async with prometheus["reports"].connect():
            await scrape()
            assert (lent("orders"), lent("reports")) == (0, 1)
        await prometheus["orders"].dispose()
        await prometheus["reports"].dispose()

    asyncio.run(two_scrapes())


@pytest.mark.parametrize("unlimited", [{"max_overflow": -1}, {"pool_size": 0}], ids=str)
def test_a_pool_without_a_limit_sets_none(
    prometheus: dict[str, Any], database_url: str, unlimited: dict[str, int]
) -> None:
    create_async_engine(
        database_url,
        poolclass=prometheus["WatchedPool"],
        **unlimited,
        pool_logging_name="limitless",
    )
    [metric] = prometheus["LIMIT"].collect()
    assert "limitless" not in {one.labels[prometheus["POOL"]] for one in metric.samples}


def test_opentelemetry_is_asked_about_two_engines_twice_without_a_complaint(
    database_url: str,
    monkeypatch: pytest.MonkeyPatch,
    caplog: pytest.LogCaptureFixture,
) -> None:
    monkeypatch.setenv("DATABASE_URL", database_url)
    otel = runpy.run_path(str(SNIPPETS / "pool" / "watching" / "otel.py"))

    def counted() -> dict[tuple[str, str], float]:
        data: Any = otel["reader"].get_metrics_data()
        return {
            (one.attributes[otel["POOL"]], one.attributes[otel["STATE"]]): one.value
            for metric in data.resource_metrics[0].scope_metrics[0].metrics
            if metric.name.endswith(".count")
            for one in metric.data.data_points
        }

    async def look() -> None:
        for name, other in (("orders", "reports"), ("reports", "orders")):
            async with otel["engines"][name].connect():
                assert (counted()[name, "used"], counted()[other, "used"]) == (1, 0)
        for engine in otel["engines"].values():
            await engine.dispose()

    asyncio.run(look())
    assert caplog.messages == []


def test_the_queries_ask_for_metrics_that_the_snippet_exposes() -> None:
    shown = (SNIPPETS / "pool" / "watching" / "prometheus.py").read_text("utf-8")
    exposed = set(METRIC.findall(shown))
    for language in ("zh", "en"):
        asked = {
            name.replace("_bucket", "_count")
            for block in fences(language, "yaml") + fences(language, "text")
            for name in METRIC.findall(block)
        }
        assert asked
        assert asked <= exposed


def test_all_metrics_have_the_names_of_the_semantic_conventions() -> None:
    conventions = {
        value.removeprefix("db.client.connection.")
        for name, value in vars(db_metrics).items()
        if name.startswith("DB_CLIENT_CONNECTION_")
    }
    assert names_in("otel.py") - {"pool.name", "state"} <= conventions
    assert {name.removesuffix("_seconds") for name in names_in("prometheus.py")} <= conventions


def test_the_boundaries_of_a_histogram_are_made_for_milliseconds() -> None:
    reader = InMemoryMetricReader()
    MeterProvider([reader]).get_meter("tea").create_histogram("wait", "s").record(0.2)
    data = reader.get_metrics_data()
    assert data
    point: Any = data.resource_metrics[0].scope_metrics[0].metrics[0].data.data_points[0]
    assert point.explicit_bounds[:3] == (0, 5, 10)


async def test_waiting_can_be_recorded_for_opentelemetry_in_connect(
    make_engine: MakeEngine,
) -> None:
    reader = InMemoryMetricReader()
    meter = MeterProvider([reader]).get_meter("tea")
    pending = meter.create_up_down_counter("pending")
    timeouts = meter.create_counter("timeouts")

    class WatchedPool(AsyncAdaptedQueuePool):
        def connect(self) -> PoolProxiedConnection:
            pending.add(1)
            try:
                return super().connect()
            except exc.TimeoutError:
                timeouts.add(1)
                raise
            finally:
                pending.add(-1)

    engine = make_engine(poolclass=WatchedPool, pool_size=1, max_overflow=0, pool_timeout=0)
    async with engine.connect():
        with pytest.raises(exc.TimeoutError):
            await engine.connect()
    data = reader.get_metrics_data()
    assert data
    points = {
        metric.name: getattr(metric.data.data_points[0], "value", None)
        for metric in data.resource_metrics[0].scope_metrics[0].metrics
    }
    assert points == {"pending": 0, "timeouts": 1}


# The server's side


@pytest.mark.parametrize("language", ["zh", "en"])
async def test_the_query_for_the_server_counts_what_the_pool_has(
    make_engine: MakeEngine, language: str
) -> None:
    engine = make_engine(connect_args={"server_settings": {"application_name": "teahouse"}})
    watcher = make_engine(poolclass=NullPool)
    [query] = sql_fences("pool/watching", language)
    async with AsyncSession(engine) as session, engine.connect() as another:
        await session.execute(SELECT)
        await another.execute(SELECT)
        await another.rollback()
        async with watcher.connect() as connection:
            rows = {row.metric: row for row in await connection.execute(text(query))}
    assert {metric: row.value for metric, row in rows.items()} == {
        "teahouse, idle": 1,
        "teahouse, idle in transaction": 1,
    }
    assert all(0 <= row.oldest_seconds < 60 for row in rows.values())


@pytest.mark.parametrize("language", ["zh", "en"])
async def test_to_an_ordinary_role_the_connections_of_others_are_hidden_and_counted(
    database_url: str, make_engine: MakeEngine, language: str
) -> None:
    engine = make_engine(connect_args={"server_settings": {"application_name": "teahouse"}})
    role = f"guide_guest_{token_hex(4)}"
    url = make_url(database_url).set(username=role, password=role)
    [query] = sql_fences("pool/watching", language)
    async with engine.connect() as connection:
        await connection.execute(text(f"CREATE ROLE {role} LOGIN PASSWORD '{role}'"))
        await connection.commit()
        try:
            async with make_engine(url, poolclass=NullPool).connect() as guest:
                rows = (await guest.execute(text(query))).all()
            assert [(row.metric, row.value) for row in rows] == [("teahouse, hidden", 1)]
        finally:
            await connection.execute(text(f"DROP ROLE {role}"))
            await connection.commit()


def test_both_languages_show_the_same_queries() -> None:
    for kind in ("sql", "yaml", "text"):
        assert fences("zh", kind) == fences("en", kind)


def test_the_page_names_no_library_that_is_not_locked() -> None:
    lock = (Path(DOCS).parent / "requirements.lock").read_text("utf-8")
    for library in ("prometheus-client", "opentelemetry-sdk"):
        assert f"\n{library}==" in lock
