"""The pid check protects a forked child, and not its parent.

比较进程号的监听器护得住 fork 出来的子进程，护不住父进程。
"""

import asyncio
import gc
import os
from multiprocessing import get_context
from typing import Any

from sqlalchemy import event, exc, text
from sqlalchemy.ext.asyncio import create_async_engine

engine = create_async_engine(os.environ["DATABASE_URL"])


@event.listens_for(engine.sync_engine, "connect")
def connect(dbapi_connection: Any, record: Any) -> None:
    record.info["pid"] = os.getpid()


@event.listens_for(engine.sync_engine, "checkout")
def checkout(dbapi_connection: Any, record: Any, proxy: Any) -> None:
    if record.info["pid"] != os.getpid():
        record.dbapi_connection = proxy.dbapi_connection = None
        raise exc.DisconnectionError("belongs to another process")


async def order() -> str:
    try:
        async with asyncio.timeout(5), engine.connect() as connection:
            return str(await connection.scalar(text("SELECT 'oolong'")))
    except (TimeoutError, exc.DBAPIError):
        return "no answer"


def child() -> None:
    os.write(writer, asyncio.run(order()).encode())
    gc.collect()  # as it happens sooner or later


reader, writer = os.pipe()


async def main() -> None:
    print("parent:", await order())
    #> parent: oolong
    process = get_context("fork").Process(target=child)
    process.start()
    process.join()
    print("child:", os.read(reader, 100).decode())
    #> child: oolong
    print("parent:", await order())
    #> parent: no answer
    await engine.dispose()


asyncio.run(main())
