"""asyncpg refuses a value of another type than the column; psycopg converts it.

值和列的类型不同，asyncpg 拒绝，psycopg 替你转换。
"""

import asyncio
import os
from datetime import UTC, datetime
from typing import Any

from sqlalchemy import DateTime, Integer, literal, make_url, select, text
from sqlalchemy.exc import DBAPIError
from sqlalchemy.ext.asyncio import create_async_engine

URL = make_url(os.environ["DATABASE_URL"])
SHANGHAI = text("SET LOCAL TIME ZONE 'Asia/Shanghai'")
NOON = datetime(2026, 5, 4, 12, tzinfo=UTC)
VALUES: dict[str, Any] = {
    "'7', Integer": literal("7", Integer),
    "noon in UTC, DateTime": literal(NOON, DateTime),
    "noon, DateTime": literal(NOON.replace(tzinfo=None), DateTime),
    "noon in UTC, timezone=True": literal(NOON, DateTime(timezone=True)),
}


async def main() -> None:
    for driver in ("asyncpg", "psycopg"):
        engine = create_async_engine(URL.set(drivername=f"postgresql+{driver}"))
        for name, value in VALUES.items():
            async with engine.connect() as connection:
                await connection.execute(SHANGHAI)
                try:
                    result = await connection.scalar(select(value))
                except DBAPIError as error:
                    result = error.orig
            print(f"{driver}: {name}: {result}")
            #> asyncpg: '7', Integer: invalid input for query argument $1: '7' ('str' object cannot be interpreted as an integer)
            #> asyncpg: noon in UTC, DateTime: invalid input for query argument $1: datetime.datetime(2026, 5, 4, 12, 0, tzi... (can't subtract offset-naive and offset-aware datetimes)
            #> asyncpg: noon, DateTime: 2026-05-04 12:00:00
            #> asyncpg: noon in UTC, timezone=True: 2026-05-04 12:00:00+00:00
            #> psycopg: '7', Integer: 7
            #> psycopg: noon in UTC, DateTime: 2026-05-04 20:00:00
            #> psycopg: noon, DateTime: 2026-05-04 12:00:00
            #> psycopg: noon in UTC, timezone=True: 2026-05-04 20:00:00+08:00
        await engine.dispose()


asyncio.run(main())
