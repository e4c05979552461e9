"""A server that ends idle connections: what recycling and pre-ping do about it.

服务端会断开空闲连接：recycle 和预检各能管什么。
"""

import asyncio
import os
from typing import Any

from sqlalchemy import event, text
from sqlalchemy.exc import DBAPIError
from sqlalchemy.ext.asyncio import async_sessionmaker, create_async_engine

URL = os.environ["DATABASE_URL"]
IDLE = {"server_settings": {"idle_session_timeout": "2s"}}


async def quiet_night(**options: Any) -> str:
    engine = create_async_engine(URL, connect_args=IDLE, **options)
    async_session = async_sessionmaker(engine)
    lines: list[Any] = []
    event.listen(
        engine.sync_engine,
        "connect",
        lambda connection, _: lines.append(connection.driver_connection),
    )
    async with async_session() as session:
        await session.execute(text("SELECT 'longjing'"))
    while not lines[0].is_closed():
        await asyncio.sleep(0.1)
    try:
        async with async_session() as session:
            return str(await session.scalar(text("SELECT 'oolong'")))
    except DBAPIError as error:
        return f"{type(error).__name__}: {error.orig}"
    finally:
        await engine.dispose()


async def main() -> None:
    ways = [
        {},
        {"pool_recycle": 3600},
        {"pool_recycle": 1},
        {"pool_pre_ping": True},
    ]
    mornings = await asyncio.gather(*(quiet_night(**way) for way in ways))
    for way, morning in zip(ways, mornings, strict=True):
        print(way, morning)
        #> x


asyncio.run(main())
