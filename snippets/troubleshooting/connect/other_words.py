"""asyncpg does not take libpq's parameters, nor psycopg those of asyncpg.

libpq 的参数 asyncpg 不认，asyncpg 的参数 psycopg 不认。
"""

import asyncio
import os

from sqlalchemy import make_url, text
from sqlalchemy.ext.asyncio import create_async_engine

url = make_url(os.environ["DATABASE_URL"]).difference_update_query(["ssl"])
ATTEMPTS = [
    ("asyncpg", {"sslmode": "prefer", "channel_binding": "prefer"}),
    ("asyncpg", {"channel_binding": "prefer"}),
    ("asyncpg", {"ssl": "prefer"}),
    ("psycopg", {"ssl": "prefer"}),
    ("psycopg", {"sslmode": "prefer", "channel_binding": "prefer"}),
]


async def main() -> None:
    for driver, words in ATTEMPTS:
        there = url.set(drivername=f"postgresql+{driver}")
        engine = create_async_engine(there.update_query_dict(words))
        try:
            async with engine.connect() as connection:
                said = await connection.scalar(text("SELECT 'connected'"))
        except Exception as error:
            original = getattr(error, "orig", error)
            said = f"{type(original).__name__}: {str(original).strip()}"
        print(f"{driver}, {', '.join(words)}: {said}")
        #> asyncpg, sslmode, channel_binding: TypeError: connect() got an unexpected keyword argument 'sslmode'
        #> asyncpg, channel_binding: TypeError: connect() got an unexpected keyword argument 'channel_binding'
        #> asyncpg, ssl: connected
        #> psycopg, ssl: ProgrammingError: invalid connection option "ssl"
        #> psycopg, sslmode, channel_binding: connected
        await engine.dispose()


asyncio.run(main())
