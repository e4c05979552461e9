"""A value is compared as the type that it has in Python: '7' is no integer.

比较时，值按它在 Python 里的类型发出：'7' 不是整数。
"""

import asyncio
import os
from datetime import UTC, datetime

from sqlalchemy import DateTime, Integer, column, make_url, select, values
from sqlalchemy.exc import ProgrammingError
from sqlalchemy.ext.asyncio import create_async_engine

URL = make_url(os.environ["DATABASE_URL"])
NOON = datetime(2026, 5, 4, 12, tzinfo=UTC)
DAY = datetime(2026, 5, 4, tzinfo=UTC)
order_id = column("id", Integer)
placed = column("placed", DateTime(timezone=True))
orders = values(order_id, placed, name="orders").data([(7, NOON)])
CONDITIONS = [
    orders.c.id == "7",
    orders.c.placed > "2026-05-04",
    orders.c.id == int("7"),
    orders.c.placed > DAY,
]


async def main() -> None:
    for driver in ("asyncpg", "psycopg"):
        engine = create_async_engine(URL.set(drivername=f"postgresql+{driver}"))
        for condition in CONDITIONS:
            sql = condition.compile(dialect=engine.dialect)
            try:
                async with engine.connect() as connection:
                    query = select(orders.c.id).where(condition)
                    found = f"found {await connection.scalar(query)}"
            except ProgrammingError as error:
                found = str(error.orig).splitlines()[0]
            print(f"{sql}: {found}")
            #> orders.id = $1::VARCHAR: operator does not exist: integer = character varying
            #> orders.placed > $1::VARCHAR: operator does not exist: timestamp with time zone > character varying
            #> orders.id = $1::INTEGER: found 7
            #> orders.placed > $1::TIMESTAMP WITH TIME ZONE: found 7
            #> orders.id = %(id_1)s::VARCHAR: operator does not exist: integer = character varying
            #> orders.placed > %(placed_1)s::VARCHAR: operator does not exist: timestamp with time zone > character varying
            #> orders.id = %(id_1)s::INTEGER: found 7
            #> orders.placed > %(placed_1)s::TIMESTAMP WITH TIME ZONE: found 7
        await engine.dispose()


asyncio.run(main())
