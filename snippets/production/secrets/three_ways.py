"""Three ways to a fresh token for each connection; psycopg has the second.

每个新连接都取新令牌，有三种写法；psycopg 能用第二种。
"""

import asyncio
import os
from typing import Any

import asyncpg  # type: ignore[import-untyped]
from sqlalchemy import event, make_url
from sqlalchemy.ext.asyncio import AsyncEngine, create_async_engine

URL = make_url(os.environ["DATABASE_URL"])
PLACE = URL.translate_connect_args(username="user")
bare = URL.set(password=None)
psycopg = bare.set(drivername="postgresql+psycopg")
asked: list[str] = []


def sign() -> str:  # as boto3 for RDS, with credentials at hand
    asked.append("token")
    return URL.password or ""


async def fetch() -> str:  # from a service that takes its time
    return sign()


def put_token(dialect: Any, record: Any, cargs: Any, cparams: Any) -> None:
    cparams["password"] = sign()


async def connect() -> asyncpg.Connection:
    return await asyncpg.connect(**PLACE | {"password": await fetch()})


def listening(engine: AsyncEngine) -> AsyncEngine:
    event.listen(engine.sync_engine, "do_connect", put_token)
    return engine


async def two_guests(way: str, engine: AsyncEngine) -> None:
    asked.clear()
    async with engine.connect(), engine.connect():
        print(f"{way}: 2 connections,", len(asked), "tokens")
        #> password=coroutine function: 2 connections, 2 tokens
        #> do_connect: 2 connections, 2 tokens
        #> do_connect, psycopg: 2 connections, 2 tokens
        #> async_creator: 2 connections, 2 tokens
    await engine.dispose()


async def main() -> None:
    password = create_async_engine(bare, connect_args={"password": fetch})
    await two_guests("password=coroutine function", password)
    await two_guests("do_connect", listening(create_async_engine(bare)))
    other = listening(create_async_engine(psycopg))
    await two_guests("do_connect, psycopg", other)
    own = create_async_engine("postgresql+asyncpg://", async_creator=connect)
    await two_guests("async_creator", own)


asyncio.run(main())
