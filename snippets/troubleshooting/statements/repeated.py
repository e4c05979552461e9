"""Whoever loses a deadlock or a conflict repeats the whole transaction.

死锁、冲突里被取消的一方，把整个事务重做一遍。
"""

import asyncio
import os
from secrets import randbelow, token_hex

from sqlalchemy import exc, text
from sqlalchemy.ext.asyncio import async_sessionmaker, create_async_engine

CONFLICTS = {"40001", "40P01"}  # serialization failure, deadlock
SHELF = f"guide_shelf_{token_hex(4)}"
TABLE = f"CREATE TABLE {SHELF} AS VALUES ('longjing', 5), ('pu-erh', 5)"
TAKE = f"UPDATE {SHELF} SET column2 = column2 - 1 WHERE column1"
LONGJING, PUERH = f"{TAKE} = 'longjing'", f"{TAKE} = 'pu-erh'"
LOOK, LEFT = f"SELECT * FROM {SHELF}", f"SELECT sum(column2) FROM {SHELF}"
RC, RR = "READ COMMITTED", "REPEATABLE READ"
engine = create_async_engine(os.environ["DATABASE_URL"])
async_session = async_sessionmaker(engine)
both_are_in = asyncio.Barrier(2)


async def attempt(level: str, first: str, second: str, alone: bool) -> None:
    async with async_session.begin() as session:  # a new one each time
        await session.connection(execution_options={"isolation_level": level})
        await session.execute(text(first))
        await (asyncio.sleep(0) if alone else both_are_in.wait())
        await session.execute(text(second))


async def order(level: str, first: str, second: str) -> None:
    for failures in range(3):
        try:
            await attempt(level, first, second, alone=failures > 0)
            return
        except exc.DBAPIError as error:
            sqlstate = getattr(error.orig, "sqlstate", None)
            if sqlstate not in CONFLICTS or failures == 2:
                raise
            print(str(error.orig).splitlines()[0])
            #> deadlock detected
            #> could not serialize access due to concurrent update
        await asyncio.sleep(randbelow(100) / 1000)  # out of step with the other


async def main() -> None:
    async with engine.begin() as connection:
        await connection.execute(text(TABLE))
    await asyncio.gather(order(RC, LONGJING, PUERH), order(RC, PUERH, LONGJING))
    await asyncio.gather(order(RR, LOOK, LONGJING), order(RR, LOOK, LONGJING))
    async with engine.begin() as connection:
        print("10 less 6:", await connection.scalar(text(LEFT)))
        #> 10 less 6: 4
        await connection.execute(text(f"DROP TABLE {SHELF}"))
    await engine.dispose()


asyncio.run(main())
