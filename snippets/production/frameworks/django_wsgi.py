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
loops: set[asyncio.AbstractEventLoop] = set()


async def pour(request: HttpRequest, engine: str) -> HttpResponse:
    loops.add(asyncio.get_running_loop())
    try:
        async with engines[engine].connect() as connection:
            return HttpResponse(
                await connection.scalar(text("SELECT 'oolong'"))
            )
    except Exception as error:
        return HttpResponse(str(error).replace(";", "").split("> ")[-1])


urlpatterns = [path("<engine>", pour)]


async def under_asgi() -> None:
    transport = httpx.ASGITransport(get_asgi_application())
    async with httpx.AsyncClient(transport=transport) as client:
        answers = [await client.get("http://tea/pooled") for _ in range(2)]
    print("ASGI pooled", [answer.text for answer in answers], len(loops))
    #> ASGI pooled ['oolong', 'oolong'] 1
    await engines["pooled"].dispose()


asyncio.run(under_asgi())
transport = httpx.WSGITransport(get_wsgi_application())
with httpx.Client(transport=transport) as client:
    for engine in engines:
        loops.clear()
        answers = [client.get(f"http://tea/{engine}") for _ in range(2)]
        print("WSGI", engine, [answer.text for answer in answers], len(loops))
        #> WSGI pooled ['oolong', 'attached to a different loop'] 2
        #> WSGI unpooled ['oolong', 'oolong'] 2
