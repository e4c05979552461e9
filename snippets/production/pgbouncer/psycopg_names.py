"""psycopg's names meet in one process: take prepare_threshold=None.

psycopg 的语句在同一个进程里就会重名：设 prepare_threshold=None。
"""

import asyncio
import os
from typing import Any

from sqlalchemy import make_url, text
from sqlalchemy.ext.asyncio import AsyncConnection, create_async_engine

URL = make_url(os.environ["DATABASE_URL"]).set(drivername="postgresql+psycopg")
CURE = {"prepare_threshold": None}


async def order(connection: AsyncConnection, tea: str) -> Any:
    for _ in range(6):  # psycopg prepares what it has executed five times
        served = await connection.scalar(text(f"SELECT '{tea}'"))
    return served


async def serve(connect_args: dict[str, None]) -> None:
    engine = create_async_engine(URL, connect_args=connect_args)
    async with engine.connect() as first, engine.connect() as second:
        for guest, tea in ((first, "longjing"), (second, "oolong")):
            await order(guest, tea)
        await first.commit()
        await second.commit()  # its connection is given out next
        print("longjing:", await order(first, "longjing"))
        #> longjing: oolong
        #> longjing: longjing
    await engine.dispose()


async def main() -> None:
    await serve({})
    await serve(CURE)


asyncio.run(main())
