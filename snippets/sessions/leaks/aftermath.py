"""After the collection: the slot is back, connection and work are gone.

回收之后：连接池里的位置空了出来，连接和没提交的数据都没了。
"""

import asyncio
import gc
import logging
import os
import warnings
from secrets import token_hex

from sqlalchemy import event, text
from sqlalchemy.ext.asyncio import async_sessionmaker, create_async_engine

ORDERS = f"guide_orders_{token_hex(4)}"
engine = create_async_engine(os.environ["DATABASE_URL"])
async_session = async_sessionmaker(engine)
happened: list[str] = []


def note(name: str) -> None:
    event.listen(engine.sync_engine, name, lambda *_: happened.append(name))


async def forgetful_guest() -> None:
    session = async_session()
    await session.execute(text(f"INSERT INTO {ORDERS} VALUES ('oolong')"))


async def main() -> None:
    async with engine.begin() as connection:
        await connection.execute(text(f"CREATE TABLE {ORDERS} (drink text)"))
    for name in ("connect", "checkout", "reset", "detach", "checkin"):
        note(name)

    await forgetful_guest()
    gc.collect()
    print(happened)
    #> ['checkout', 'reset', 'detach']
    print(engine.pool.status())
    #> Pool size: 5  Connections in pool: 1 Current Overflow: -4 Current Checked out connections: 0

    happened.clear()
    async with async_session() as session:
        rows = await session.scalar(text(f"SELECT count(*) FROM {ORDERS}"))
    print("rows:", rows, happened)
    #> rows: 0 ['connect', 'checkout', 'reset', 'checkin']

    async with engine.begin() as connection:
        await connection.execute(text(f"DROP TABLE {ORDERS}"))
    await engine.dispose()


gc.disable()
warnings.simplefilter("ignore")
logging.getLogger("sqlalchemy.pool").addHandler(logging.NullHandler())
asyncio.run(main())
