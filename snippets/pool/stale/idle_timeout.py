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
    ended = asyncio.Event()

    @event.listens_for(engine.sync_engine, "connect")
    def connect(connection: Any, _: object) -> None:
        driver = connection.driver_connection
        driver.add_termination_listener(lambda _: ended.set())

    async with async_session() as session:
        await session.execute(text("SELECT 'longjing'"))
    await ended.wait()
    try:
        async with async_session() as session:
            return str(await session.scalar(text("SELECT 'oolong'")))
    except DBAPIError as error:
        return f"{type(error).__name__}: {error.orig}"
    finally:
        await engine.dispose()


async def main() -> None:
    ways: list[dict[str, Any]] = [
        {},
        {"pool_recycle": 3600},
        {"pool_recycle": 1},
        {"pool_pre_ping": True},
    ]
    mornings = await asyncio.gather(*(quiet_night(**way) for way in ways))
    for way, morning in zip(ways, mornings, strict=True):
        print(way, morning)
        #> {} InterfaceError: connection is closed
        #> {'pool_recycle': 3600} InterfaceError: connection is closed
        #> {'pool_recycle': 1} oolong
        #> {'pool_pre_ping': True} oolong


asyncio.run(main())
