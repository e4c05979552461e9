"""Applications of several frameworks, for the tests of the page on them."""

import os
import subprocess
import sys
import warnings
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Annotated, Any

import httpx
import sqlmodel
import strawberry
from django.urls import clear_url_caches
from fastapi import Depends, FastAPI
from quart import Quart
from sqlalchemy import literal, text
from sqlalchemy.ext.asyncio import AsyncEngine, AsyncSession, async_sessionmaker
from sqlmodel.ext.asyncio.session import AsyncSession as SQLModelSession
from strawberry.fastapi import GraphQLRouter

from tests.loading import load_snippet
from tests.pools import checked_out

with warnings.catch_warnings(action="ignore"):  # its mixins are decorated as for 2.0
    from advanced_alchemy.extensions import litestar as alchemy
    from litestar import Litestar

ONE = text("SELECT 'longjing'")
ZERO = text("SELECT 1 / 0")


class Urls:
    """The URLs of Django, of which a process has one set of settings."""

    urlpatterns: list[Any] = []  # noqa: RUF012


def load(name: str, url: str) -> dict[str, Any]:
    """What a program of the page defines before its `main`."""
    once = {"settings.configure(": "dict("} if name == "in_django" else {}
    module = {"__name__": __name__}  # Litestar looks up where a handler was defined
    names = load_snippet(f"production/frameworks/{name}.py", url, changes=once, **module)
    Urls.urlpatterns = names.get("urlpatterns", [])
    clear_url_caches()
    return names


def running(app: Any) -> Any:
    """A context in which an application is between its startup and its shutdown."""
    if isinstance(app, Litestar):
        return app.lifespan()
    if isinstance(app, Quart):
        return app.test_app()
    return app.router.lifespan_context(app)


def through(app: Any, engine: AsyncEngine, lent: list[int]) -> httpx.AsyncClient:
    """A client; what the pool lends is noted whenever the application sends."""

    async def observed(scope: Any, receive: Any, send: Any) -> None:
        async def note(message: Any) -> None:
            lent.append(checked_out(engine))
            await send(message)

        await app(scope, receive, note)

    transport = httpx.ASGITransport(observed, raise_app_exceptions=False)
    return httpx.AsyncClient(transport=transport, base_url="http://tea")


def shop(engine: AsyncEngine, *handlers: Any, **options: Any) -> Litestar:
    """A Litestar application with the plugin of advanced-alchemy."""
    config = alchemy.SQLAlchemyAsyncConfig(engine_instance=engine, **options)
    plugins = [alchemy.SQLAlchemyPlugin(config)]
    return Litestar([*handlers], plugins=plugins, logging_config=None)


async def ask(info: strawberry.Info) -> str:
    """The session of the context."""
    return str(await info.context["session"].scalar(ONE))


async def own(info: strawberry.Info, fails: bool = False) -> str:
    """A session for each resolver."""
    async with AsyncSession(info.context["engine"]) as session:
        return str(await session.scalar(ZERO if fails else ONE))


async def loaded(info: strawberry.Info) -> str:
    """One session for all resolvers that ask in the same moment."""
    return str(await info.context["teas"].load("longjing"))


@strawberry.type
class Query:
    """Three ways to a session."""

    shared: str = strawberry.field(resolver=ask)
    own: str = strawberry.field(resolver=own)
    loaded: str = strawberry.field(resolver=loaded)


@strawberry.type
class Mutation:
    """The same, of which GraphQL runs one after the other."""

    shared: str = strawberry.mutation(resolver=ask)


def make_fastapi(engine: AsyncEngine) -> FastAPI:
    """SQLModel and Strawberry in FastAPI, with a session by `Depends`."""
    sessions = async_sessionmaker(engine, class_=SQLModelSession)

    async def get_session() -> AsyncIterator[SQLModelSession]:
        async with sessions() as session:
            yield session

    async def get_context(
        session: Annotated[SQLModelSession, Depends(get_session)],
    ) -> dict[str, object]:
        return {"session": session}

    app = FastAPI()
    router = GraphQLRouter(strawberry.Schema(Query), "/graphql", context_getter=get_context)
    app.include_router(router)

    @app.post("/orders")
    async def order(session: Annotated[SQLModelSession, Depends(get_session)]) -> str:
        return (await session.exec(sqlmodel.select(literal("oolong")))).one()

    return app


def run_django(age: int, url: str, folder: Path) -> subprocess.CompletedProcess[str]:
    """Three requests to Django with this `CONN_MAX_AGE`, in a process with settings of its own."""
    program = folder / "guide_django.py"
    program.write_text(DJANGO, "utf-8")
    return subprocess.run(
        [sys.executable, program.name, str(age)], cwd=folder, capture_output=True,
        encoding="utf-8", env={**os.environ, "DATABASE_URL": url}, timeout=120,
    )  # fmt: skip


DJANGO = """
import asyncio, gc, os, sys
import httpx
from asgiref.sync import sync_to_async
from django.conf import settings
from django.core.asgi import get_asgi_application
from django.db import connection
from django.http import HttpResponse
from django.urls import path
from sqlalchemy import make_url, text
from sqlalchemy.ext.asyncio import create_async_engine

NAMES = "SELECT application_name FROM pg_stat_activity WHERE datname = current_database()"
URL, AGE = make_url(os.environ["DATABASE_URL"]), int(sys.argv[1])
DJANGOS = dict(
    ENGINE="django.db.backends.postgresql", NAME=URL.database, USER=URL.username,
    PASSWORD=URL.password, HOST=URL.host or URL.query.get("host"), PORT=URL.port or "",
    CONN_MAX_AGE=AGE, OPTIONS={"application_name": "django"},
)
engine = create_async_engine(URL, connect_args={"server_settings": {"application_name": "pool"}})
loops, backends = set(), set()

def with_django():
    with connection.cursor() as cursor:
        cursor.execute("SELECT pg_backend_pid()")
        backends.update(cursor.fetchall())

async def pour(request):
    loops.add(asyncio.get_running_loop())
    await sync_to_async(with_django)()
    async with engine.connect() as pooled:
        return HttpResponse(await pooled.scalar(text("SELECT 'oolong'")))

def in_a_thread(get_response):
    return lambda request: get_response(request)

urlpatterns = [path("", pour)]
settings.configure(
    ROOT_URLCONF=__name__, ALLOWED_HOSTS=["tea"], DATABASES={"default": DJANGOS},
    MIDDLEWARE=["__main__.in_a_thread"],
)

async def main():
    gc.disable()  # it takes the connections of threads that have ended, sooner or later
    client = httpx.AsyncClient(transport=httpx.ASGITransport(get_asgi_application()))
    for _ in range(3):
        assert (await client.get("http://tea/")).text == "oolong"
    async with engine.execution_options(isolation_level="AUTOCOMMIT").connect() as pooled:
        for _ in range(500):  # psycopg does not wait until a backend that it closes has ended
            names = (await pooled.scalars(text(NAMES))).all()
            if "django" not in names or AGE:
                break
            await asyncio.sleep(0.01)
    left = names.count("django")
    print(f"django {left} of {len(backends)}, pool {names.count('pool')}")
    print("loops", len({*loops, asyncio.get_running_loop()}))
    await engine.dispose()

asyncio.run(main())
"""
