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
from sqlalchemy import QueuePool, text
from sqlalchemy.ext.asyncio import AsyncSession, create_async_engine
from starlette.applications import Starlette
from starlette.routing import Mount

URL, NAME = os.environ["DATABASE_URL"], f"guide_{os.urandom(4).hex()}"
OPTIONS = {"server_settings": {"application_name": NAME}}
BACKENDS = text(
    f"SELECT count(*) FROM pg_stat_activity WHERE application_name = '{NAME}'"
)
CUPS = text("SELECT 12 / CAST(:guests AS integer) || ' cups'")
engine = create_async_engine(URL, connect_args=OPTIONS)
watcher = create_async_engine(URL, isolation_level="AUTOCOMMIT")
settings.configure(ROOT_URLCONF=__name__, ALLOWED_HOSTS=["tea"])


async def pour(request: HttpRequest, guests: int) -> HttpResponse:
    async with AsyncSession(engine) as session:
        return HttpResponse(await session.scalar(CUPS, {"guests": guests}))


@asynccontextmanager
async def lifespan(app: Starlette) -> AsyncIterator[None]:
    yield
    await engine.dispose()


urlpatterns = [route("<int:guests>", pour)]
app = Starlette(lifespan=lifespan, routes=[Mount("/", get_asgi_application())])


async def main() -> None:
    client = httpx.AsyncClient(transport=httpx.ASGITransport(app))
    async with watcher.connect() as postgresql:
        async with app.router.lifespan_context(app):
            for path in ("/4", "/0"):
                status = (await client.get(f"http://tea{path}")).status_code
                assert isinstance(engine.pool, QueuePool)
                print(path, status, "lent:", engine.pool.checkedout())
                #> /4 200 lent: 0
                #> /0 500 lent: 0
            print("backends:", await postgresql.scalar(BACKENDS))
            #> backends: 1
        print("after shutdown:", await postgresql.scalar(BACKENDS))
        #> after shutdown: 0
    await watcher.dispose()


asyncio.run(main())
