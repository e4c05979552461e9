"""SERIALIZABLE refuses one of two that read the same; run that one again.

SERIALIZABLE 会拒绝两个互相冲突的事务之一，把它整个重做一遍。
"""

import asyncio
import os
from secrets import token_hex

from sqlalchemy import text
from sqlalchemy.exc import DBAPIError
from sqlalchemy.ext.asyncio import async_sessionmaker, create_async_engine

engine = create_async_engine(os.environ["DATABASE_URL"])
async_session = async_sessionmaker(engine)
ORDERS = f"guide_orders_{token_hex(4)}"
SOLD = text(f"SELECT count(*) FROM {ORDERS}")
SELL = text(f"INSERT INTO {ORDERS} VALUES ('longjing')")
both_have_looked = asyncio.Barrier(2)


async def sell_the_last_tin(level: str) -> str:
    for attempt in (1, 2, 3):
        try:
            async with async_session.begin() as session:
                await session.connection(
                    execution_options={"isolation_level": level}
                )
                sold = await session.scalar(SOLD)
                if attempt == 1:
                    await both_have_looked.wait()
                if sold:
                    return f"sold out at attempt {attempt}"
                await session.execute(SELL)
            return f"sold at attempt {attempt}"
        except DBAPIError as error:
            if getattr(error.orig, "sqlstate", None) != "40001":
                raise
    return "gave up"


async def main() -> None:
    for level in ("READ COMMITTED", "SERIALIZABLE"):
        async with engine.begin() as connection:
            await connection.execute(text(f"CREATE TABLE {ORDERS} (tin text)"))
        two = (sell_the_last_tin(level) for _ in range(2))
        print(f"{level}:", sorted(await asyncio.gather(*two)))
        #> READ COMMITTED: ['sold at attempt 1', 'sold at attempt 1']
        #> SERIALIZABLE: ['sold at attempt 1', 'sold out at attempt 2']
        async with engine.begin() as connection:
            await connection.execute(text(f"DROP TABLE {ORDERS}"))
    await engine.dispose()


asyncio.run(main())
