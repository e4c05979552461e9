"""Under ASGI Django's async views share a loop; under WSGI each has its own.

Django 的异步视图：ASGI 下共用一个循环，WSGI 下每个请求一个。
"""

import asyncio
import os

import httpx
from django.conf import settings
from django.core.asgi import get_asgi_application
from django.core.wsgi import get_wsgi_application
from django.http import HttpRequest, HttpResponse
from django.urls import path
from sqlalchemy import NullPool, text
from sqlalchemy.ext.asyncio import create_async_engine

URL = os.environ["DATABASE_URL"]
engines = {
    "pooled": create_async_engine(URL),
    "unpooled": create_async_engine(URL, poolclass=NullPool),
}
settings.configure(ROOT_URLCONF=__name__, ALLOWED_HOSTS=["tea"])
loops: list[asyncio.AbstractEventLoop] = []


async def pour(request: HttpRequest, engine: str) -> HttpResponse:
    loops.append(asyncio.get_running_loop())
    try:
        async with engines[engine].connect() as connection:
            return HttpResponse(
                await connection.scalar(text("SELECT 'oolong'"))
            )
    except Exception as error:
        return HttpResponse(str(error).replace(";", "").split("> ")[-1])


async def asgi(engine: str) -> list[str]:
    transport = httpx.ASGITransport(get_asgi_application())
    async with httpx.AsyncClient(transport=transport) as client:
        answers = [await client.get(f"http://tea/{engine}") for _ in range(2)]
    await engines[engine].dispose()
    return [answer.text for answer in answers]


def wsgi(engine: str) -> list[str]:
    transport = httpx.WSGITransport(get_wsgi_application())
    with httpx.Client(transport=transport) as client:
        return [client.get(f"http://tea/{engine}").text for _ in range(2)]


urlpatterns = [path("<engine>", pour)]
print("ASGI, pooled:", asyncio.run(asgi("pooled")), "loops:", len(set(loops)))
#> ASGI, pooled: ['oolong', 'oolong'] loops: 1
for engine in engines:
    loops.clear()
    print(f"WSGI, {engine}:", wsgi(engine), "loops:", len(set(loops)))
    #> WSGI, pooled: ['oolong', 'attached to a different loop'] loops: 2
    #> WSGI, unpooled: ['oolong', 'oolong'] loops: 2
