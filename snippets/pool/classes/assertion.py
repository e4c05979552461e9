"""AssertionPool fails the code that takes a second connection.

AssertionPool：代码借第二个连接就报错。
"""

import asyncio
import os

from sqlalchemy import text
from sqlalchemy.ext.asyncio import async_sessionmaker, create_async_engine
from sqlalchemy.pool import AssertionPool

engine = create_async_engine(
    os.environ["DATABASE_URL"], poolclass=AssertionPool
)
async_session = async_sessionmaker(engine)


async def serve() -> None:
    async with async_session() as session:
        await session.execute(text("SELECT 'longjing'"))
        await write_down("longjing")


async def write_down(drink: str) -> None:
    async with async_session() as session:  # while serve() holds one
        await session.execute(text("SELECT :drink"), {"drink": drink})


async def main() -> None:
    try:
        await serve()
    except AssertionError as error:
        print(str(error).splitlines()[0])
        #> connection is already checked out at:
    await engine.dispose()


asyncio.run(main())
