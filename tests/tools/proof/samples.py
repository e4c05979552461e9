"""A snippet that is true, for the tests of what proves one."""

TRUE = """\
import asyncio
import os

from sqlalchemy import text
from sqlalchemy.ext.asyncio import create_async_engine

engine = create_async_engine(os.environ["DATABASE_URL"])


async def main() -> None:
    async with engine.connect() as connection:
        print(await connection.scalar(text("SELECT 1")))
        #> 1
    await engine.dispose()


asyncio.run(main())
"""
