"""A request that takes more connections than allowed fails its test.

一个请求用的连接超过限额，它的测试就失败。
"""

from collections.abc import AsyncIterator
from contextvars import ContextVar
from dataclasses import dataclass

import httpx
import pytest_asyncio
from sqlalchemy import Pool, event
from starlette.types import Receive, Scope, Send

from shop import app, engine

AT_ONCE, IN_ALL = 1, 1


@dataclass
class Loans:
    now: int = 0
    at_once: int = 0
    in_all: int = 0


request: ContextVar[Loans] = ContextVar("request")
lent: dict[object, Loans] = {}


@event.listens_for(Pool, "checkout")
def borrow(_: object, entry: object, proxy: object) -> None:
    if loans := request.get(None):
        lent[entry] = loans
        loans.now += 1
        loans.in_all += 1
        loans.at_once = max(loans.at_once, loans.now)


@event.listens_for(Pool, "checkin")
def give_back(_: object, entry: object) -> None:
    if loans := lent.pop(entry, None):
        loans.now -= 1


async def counted(scope: Scope, receive: Receive, send: Send) -> None:
    request.set(loans := Loans())
    await app(scope, receive, send)
    assert loans.at_once <= AT_ONCE, f"{scope['path']}: {loans}"
    assert loans.in_all <= IN_ALL, f"{scope['path']}: {loans}"


@pytest_asyncio.fixture
async def client() -> AsyncIterator[httpx.AsyncClient]:
    way = httpx.ASGITransport(counted)
    async with httpx.AsyncClient(transport=way, base_url="http://shop") as it:
        yield it
    await engine.dispose()
