"""Django has no lifespan: Starlette around it disposes of the engine.

Django 没有 lifespan：外面套一层 Starlette，由它释放引擎。
"""

import asyncio
import os
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

import httpx
from django.conf import settings
from django.core.asgi import get_asgi_application
from django.http import HttpRequest, HttpResponse
from django.urls import path as route
from sqlalchemy import NullPool, text
from sqlalchemy.ext.asyncio import AsyncSession, create_async_engine
from starlette.applications import Starlette
from starlette.routing import Mount

URL, NAME = os.environ["DATABASE_URL"], f"guide_{os.urandom(4).hex()}"
OPTIONS = {"server_settings": {"application_name": NAME}}
BACKENDS = "SELECT count(*) FROM pg_stat_activity WHERE application_name"
CUPS = text("SELECT 12 / CAST(:guests AS integer)")
engine = create_async_engine(URL, connect_args=OPTIONS)
watcher = create_async_engine(URL, poolclass=NullPool)
settings.configure(ROOT_URLCONF=__name__, ALLOWED_HOSTS=["tea"])


async def pour(request: HttpRequest, guests: int) -> HttpResponse:
    async with AsyncSession(engine) as session:
        return HttpResponse(str(await session.scalar(CUPS, {"guests": guests})))


@asynccontextmanager
async def lifespan(app: Starlette) -> AsyncIterator[None]:
    yield
    await engine.dispose()


urlpatterns = [route("<int:guests>", pour)]
app = Starlette(lifespan=lifespan, routes=[Mount("/", get_asgi_application())])
client = httpx.AsyncClient(transport=httpx.ASGITransport(app))


async def look() -> str:
    async with watcher.connect() as connection:
        backends = await connection.scalar(text(f"{BACKENDS} = '{NAME}'"))
    return f"lent {engine.pool.status().split()[-1]}, backends {backends}"


async def main() -> None:
    async with app.router.lifespan_context(app):
        for path in ("/4", "/0"):
            answer = await client.get(f"http://tea{path}")
            print(path, answer.status_code, await look())
            #> /4 200 lent 0, backends 1
            #> /0 500 lent 0, backends 1
    print("after shutdown:", await look())
    #> after shutdown: lent 0, backends 0


asyncio.run(main())
