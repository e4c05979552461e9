"""What the page on frameworks says beyond what its programs print."""

import asyncio
import logging
import warnings
from collections.abc import AsyncGenerator, Iterator
from pathlib import Path
from typing import Any

import pytest
import sqlalchemy
import sqlmodel
import strawberry
from django.conf import settings
from django.core.asgi import get_asgi_application
from flask import Flask
from quart import Quart, g
from sqlalchemy import NullPool, text
from sqlalchemy.ext.asyncio import (
    AsyncConnection,
    AsyncSession,
    create_async_engine,
)
from sqlmodel.ext.asyncio.session import AsyncSession as SQLModelSession
from strawberry.dataloader import DataLoader

from tests.pools import MakeEngine, checked_out, record
from tests.production.frameworks import (
    ONE,
    ZERO,
    Mutation,
    Query,
    Urls,
    load,
    make_fastapi,
    run_django,
    running,
    shop,
    through,
)

with warnings.catch_warnings(action="ignore"):  # its mixins are decorated as for 2.0
    from advanced_alchemy.extensions import litestar as alchemy
    from litestar import Litestar, get, post
    from litestar.di import NamedDependency
    from litestar.response import Stream

Session = NamedDependency[AsyncSession]


@pytest.fixture(autouse=True)
def _as_in_a_new_process(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    """Programs are quiet, Django is set up, and advanced-alchemy has seen no configuration."""
    if not settings.configured:
        settings.configure(ROOT_URLCONF=Urls, ALLOWED_HOSTS=["tea"])
    keys = [name for name in dir(alchemy.SQLAlchemyAsyncConfig) if name.endswith("_REGISTRY")]
    for name in keys:
        monkeypatch.setattr(alchemy.SQLAlchemyAsyncConfig, name, set())
    yield
    logging.disable(logging.NOTSET)


@pytest.mark.parametrize("name", ["in_starlette", "in_litestar", "in_quart", "in_django"])
async def test_the_connection_is_back_before_the_response_is_sent(
    name: str, database_url: str, watcher: AsyncConnection
) -> None:
    shop = load(name, database_url)
    app, engine, lent = shop["app"], shop["engine"], list[int]()
    loops = []
    for event in ("connect", "close"):
        sqlalchemy.event.listen(
            engine.sync_engine, event, lambda *_: loops.append(asyncio.get_running_loop())
        )
    async with running(app):
        client = through(app, engine, lent)
        assert [(await client.get(path)).status_code for path in ("/4", "/0")] == [200, 500]
        assert set(lent) == {0}
        assert len(loops) == 1
    here = asyncio.get_running_loop()
    assert loops == [here, here], "the engine was disposed of in the loop of the requests"
    backends = text(
        f"SELECT count(*) FROM pg_stat_activity WHERE application_name = '{shop['NAME']}'"
    )
    assert await watcher.scalar(backends) == 0


@pytest.mark.parametrize("path", ["/orders", "/graphql"])
async def test_a_session_of_depends_is_closed_after_the_response(
    path: str, make_engine: MakeEngine
) -> None:
    engine, lent = make_engine(), list[int]()
    client = through(make_fastapi(engine), engine, lent)
    assert (await client.post(path, json={"query": "{ shared }"})).status_code == 200
    assert set(lent) == {1}
    assert checked_out(engine) == 0


async def test_autocommit_answers_as_if_a_failed_commit_had_worked(
    make_engine: MakeEngine, watcher: AsyncConnection, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.DEBUG, "advanced_alchemy")
    await watcher.execute(text("CREATE TABLE teas (id int PRIMARY KEY)"))
    await watcher.execute(
        text("CREATE TABLE orders (tea int REFERENCES teas DEFERRABLE INITIALLY DEFERRED)")
    )
    order = text("INSERT INTO orders VALUES (1)")

    @post("/by_itself")
    async def by_itself(db_session: Session) -> None:
        await db_session.execute(order)

    @post("/in_the_handler")
    async def in_the_handler(db_session: Session) -> None:
        await db_session.execute(order)
        await db_session.commit()

    engine = make_engine()
    app = shop(engine, by_itself, in_the_handler, before_send_handler="autocommit")
    async with app.lifespan():
        client = through(app, engine, [])
        assert (await client.post("/by_itself")).status_code == 201
        logged = [(each.levelname, each.getMessage()) for each in caplog.records]
        assert ("DEBUG", "Session commit/rollback failed during cleanup") in logged
        assert (await client.post("/in_the_handler")).status_code == 500
    assert await watcher.scalar(text("SELECT count(*) FROM orders")) == 0


async def test_without_autocommit_nobody_commits(
    make_engine: MakeEngine, watcher: AsyncConnection
) -> None:
    await watcher.execute(text("CREATE TABLE orders (tea int)"))

    @post("/")
    async def order(db_session: Session) -> None:
        await db_session.execute(text("INSERT INTO orders VALUES (1)"))

    engine = make_engine()
    for way, rows in ((None, 0), ("autocommit", 1)):
        app = shop(engine, order, before_send_handler=way)
        async with app.lifespan():
            assert (await through(app, engine, []).post("/")).status_code == 201
        assert await watcher.scalar(text("SELECT count(*) FROM orders")) == rows


async def test_a_stream_with_a_session_of_its_own_returns_the_connection(
    make_engine: MakeEngine,
) -> None:
    engine, lent = make_engine(), list[int]()
    config = alchemy.SQLAlchemyAsyncConfig(engine_instance=engine)

    async def cups() -> AsyncGenerator[str, None]:
        async with config.get_session() as session:
            yield str(await session.scalar(ONE))

    @get("/")
    async def stream() -> Stream:
        return Stream(cups())

    app = Litestar([stream], plugins=[alchemy.SQLAlchemyPlugin(config)])
    async with app.lifespan():
        assert (await through(app, engine, lent).get("/")).text == "longjing"
        assert max(lent) == 1
        assert checked_out(engine) == 0


async def test_a_second_configuration_is_disposed_of_if_its_two_keys_are_the_same(
    make_engine: MakeEngine,
) -> None:
    own = {"engine_app_state_key": "own", "engine_dependency_key": "own"}
    disposed, keys_in_state = [], []
    for keys in ({}, {}, own):
        engine = make_engine()
        pool, app = engine.pool, shop(engine, **keys)
        async with app.lifespan():
            pass
        disposed.append(engine.pool is not pool)
        keys_in_state.append(next(key for key, value in app.state.items() if value is engine))
    assert disposed == [True, False, True]
    assert keys_in_state == ["db_engine", "db_engine_1", "own"]


async def test_quart_tears_a_request_down_before_it_sends_the_response(
    make_engine: MakeEngine,
) -> None:
    engine, lent, closed = make_engine(), list[int](), list[str]()
    app = Quart(__name__)

    @app.before_request
    async def open_session() -> None:
        g.session = AsyncSession(engine)

    @app.teardown_request
    async def close_session(error: BaseException | None) -> None:
        await g.session.close()
        closed.append(type(error).__name__)

    @app.get("/<works>")
    async def pour(works: str) -> str:
        return str(await g.session.scalar(ONE if works == "yes" else ZERO))

    logging.disable()
    client = through(app, engine, lent)
    assert [(await client.get(path)).status_code for path in ("/yes", "/no")] == [200, 500]
    assert len(closed) == 2
    assert set(lent) == {0}


async def test_a_stream_that_uses_quarts_torn_down_session_keeps_a_connection(
    make_engine: MakeEngine,
) -> None:
    engine, app = make_engine(), Quart(__name__)
    session = AsyncSession(engine)

    @app.teardown_request
    async def close_session(_: BaseException | None) -> None:
        await session.close()

    @app.get("/")
    async def stream() -> AsyncGenerator[str, None]:
        async def cups() -> AsyncGenerator[str, None]:
            yield str(await session.scalar(ONE))

        return cups()

    assert (await through(app, engine, []).get("/")).text == "longjing"
    assert checked_out(engine) == 1
    await session.close()


async def test_a_view_without_async_has_no_loop_in_quart_either() -> None:
    app, loops = Quart(__name__), list[object]()

    @app.get("/")
    def pour() -> str:
        loops.append(asyncio._get_running_loop())
        return "longjing"

    assert (await app.test_client().get("/")).status_code == 200
    assert loops == [None]


def test_flask_has_closed_the_connection_when_it_answers(
    database_url: str,
) -> None:
    engine = create_async_engine(database_url, poolclass=NullPool)
    happened, app = record(engine, "connect", "close"), Flask(__name__)

    @app.get("/<works>")
    async def pour(works: str) -> str:
        async with AsyncSession(engine) as session:
            return str(await session.scalar(ONE if works == "yes" else ZERO))

    logging.disable()
    client = app.test_client()
    assert [client.get(path).status_code for path in ("/yes", "/no")] == [200, 500]
    assert happened == ["connect", "close"] * 2


def test_a_pool_of_psycopg_serves_flasks_second_loop(database_url: str) -> None:
    url = sqlalchemy.make_url(database_url).set(drivername="postgresql+psycopg")
    engine, app, loops = create_async_engine(url), Flask(__name__), list[object]()
    happened = record(engine, "connect")

    @app.get("/")
    async def pour() -> str:
        loops.append(asyncio.get_running_loop())
        async with AsyncSession(engine) as session:
            return str(await session.scalar(ONE))

    client = app.test_client()
    assert [client.get("/").status_code for _ in range(2)] == [200, 200]
    asyncio.run(engine.dispose())
    assert loops[0] is not loops[1]
    assert happened == ["connect"]


@pytest.mark.parametrize("pings", [False, True])
async def test_resolvers_that_share_a_session_fail_on_a_warm_pool_that_pings(
    pings: bool, make_engine: MakeEngine
) -> None:
    engine = make_engine(pool_pre_ping=pings)
    async with engine.connect() as connection:
        await connection.execute(ONE)
    logging.disable()
    async with AsyncSession(engine) as session:
        answer = await strawberry.Schema(Query).execute(
            "{ a: shared b: shared }", context_value={"session": session}
        )
    said = [error.message.split(";")[0] for error in answer.errors or ()]
    assert said == ["This session is provisioning a new connection"] * pings


@pytest.mark.parametrize(("field", "most"), [("own", 15), ("loaded", 1)])
async def test_resolvers_with_a_session_each_take_what_the_pool_lends(
    field: str, most: int, make_engine: MakeEngine
) -> None:
    engine, lent = make_engine(), list[int]()
    sqlalchemy.event.listen(
        engine.sync_engine, "checkout", lambda *_: lent.append(checked_out(engine))
    )

    async def teas(names: list[str]) -> list[str]:
        async with AsyncSession(engine) as session:
            return [str(await session.scalar(ONE)) for _ in names]

    context = {"engine": engine, "teas": DataLoader(teas, cache=False)}
    query = " ".join(f"f{number}: {field}" for number in range(20))
    answer = await strawberry.Schema(Query).execute(f"{{ {query} }}", context_value=context)
    assert answer.errors is None
    assert max(lent) == most


async def test_a_resolver_that_failed_has_closed_its_session(make_engine: MakeEngine) -> None:
    engine = make_engine()
    logging.disable()
    answer = await strawberry.Schema(Query).execute(
        "{ own(fails: true) }", context_value={"engine": engine}
    )
    assert [error.path for error in answer.errors or ()] == [["own"]]
    assert checked_out(engine) == 0


async def test_mutations_run_in_turn_and_can_share_the_session(make_engine: MakeEngine) -> None:
    async with AsyncSession(make_engine()) as session:
        answer = await strawberry.Schema(Query, Mutation).execute(
            "mutation { a: shared b: shared }", context_value={"session": session}
        )
    assert answer.errors is None
    assert answer.data == {"a": "longjing", "b": "longjing"}


async def test_exec_gives_models_for_the_select_of_sqlmodel_only(make_engine: MakeEngine) -> None:
    tea = sqlalchemy.literal("oolong")
    async with SQLModelSession(make_engine()) as session:
        assert (await session.exec(sqlmodel.select(tea))).one() == "oolong"
        statement: Any = sqlalchemy.select(tea)
        assert tuple((await session.exec(statement)).one()) == ("oolong",)
        with pytest.warns(DeprecationWarning, match="You probably want to use"):
            await session.execute(statement)


async def test_scalars_gives_the_same_from_the_session_of_sqlmodel_and_that_of_sqlalchemy(
    make_engine: MakeEngine,
) -> None:
    one = sqlmodel.select(sqlalchemy.literal("oolong"))
    two = sqlmodel.select(sqlalchemy.literal("oolong"), sqlalchemy.literal(3))
    async with AsyncSession(make_engine()) as session:
        assert (await session.scalars(one)).all() == ["oolong"]
        assert (await session.scalars(two)).all() == ["oolong"], "the first of the two"
        assert (await session.execute(two)).all() == [("oolong", 3)]
    async with SQLModelSession(make_engine()) as session:
        with pytest.warns(DeprecationWarning, match="You probably want to use"):
            assert (await session.scalars(one)).all() == ["oolong"]
        with pytest.warns(DeprecationWarning, match="You probably want to use"):
            assert (await session.execute(two)).all() == [("oolong", 3)]


async def test_django_refuses_lifespan() -> None:
    refusal = "Django can only handle ASGI/HTTP connections, not lifespan."
    with pytest.raises(ValueError, match=refusal):
        await get_asgi_application()({"type": "lifespan"}, None, None)


@pytest.mark.parametrize(("age", "left"), [(0, 0), (600, 3)])
def test_conn_max_age_is_for_the_connections_of_django_not_for_the_pool(
    age: int, left: int, database_url: str, tmp_path: Path
) -> None:
    ran = run_django(age, database_url, tmp_path)
    assert ran.stdout.split("\n")[:2] == [f"django {left} of 3, pool 1", "loops 1"], ran.stderr
