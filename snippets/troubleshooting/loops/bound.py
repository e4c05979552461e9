"""A loop that has to wait for another loop's pool fails, with psycopg too.

要在别的事件循环用过的池里排队，psycopg 也一样报错。
"""

import asyncio
import os

from sqlalchemy import make_url, text
from sqlalchemy.ext.asyncio import AsyncEngine, create_async_engine

URL = make_url(os.environ["DATABASE_URL"])
PSYCOPG = URL.set(drivername="postgresql+psycopg")


async def order(engine: AsyncEngine) -> str:
    async with engine.connect() as connection:
        return str(await connection.scalar(text("SELECT 'oolong'")))


async def two_guests(engine: AsyncEngine) -> list[str]:
    both = order(engine), order(engine)  # the second waits for the first
    drinks = await asyncio.gather(*both, return_exceptions=True)
    return [str(drink).split("> ")[-1] for drink in drinks]


async def two_guests_and_dispose(engine: AsyncEngine) -> list[str]:
    try:
        return await two_guests(engine)
    finally:
        await engine.dispose()


engine = create_async_engine(PSYCOPG, pool_size=1, max_overflow=0)
for loop in ("first", "second"):
    print(f"{loop} loop:", asyncio.run(two_guests(engine)))
    #> first loop: ['oolong', 'oolong']
    #> second loop: ['oolong', 'is bound to a different event loop']
asyncio.run(engine.dispose())

for loop in ("first", "second"):
    print(f"{loop} loop:", asyncio.run(two_guests_and_dispose(engine)))
    #> first loop: ['oolong', 'oolong']
    #> second loop: ['oolong', 'oolong']
