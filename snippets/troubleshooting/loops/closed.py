"""dispose() in another loop than the connections' says Event loop is closed.

换了一个事件循环才 dispose()，就报 Event loop is closed。
"""

import asyncio
import logging
import os

from sqlalchemy import text
from sqlalchemy.ext.asyncio import create_async_engine

URL = os.environ["DATABASE_URL"]


class Printer(logging.Handler):
    def emit(self, record: logging.LogRecord) -> None:
        if record.exc_info:
            print(f"{type(record.exc_info[1]).__name__}: {record.exc_info[1]}")
            #> RuntimeError: Event loop is closed


async def brew() -> str:
    async with engine.connect() as connection:
        return str(await connection.scalar(text("SELECT 'oolong'")))


async def brew_and_dispose() -> str:
    try:
        return await brew()
    finally:
        await engine.dispose()


logging.getLogger("sqlalchemy.pool").addHandler(Printer())

engine = create_async_engine(URL)
asyncio.run(brew())
asyncio.run(engine.dispose())

engine = create_async_engine(URL)
print("disposed in its loop:", asyncio.run(brew_and_dispose()))
#> disposed in its loop: oolong
