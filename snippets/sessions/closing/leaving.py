"""However you leave the block: the work is rolled back, the connection is back.

无论怎样离开代码块，没提交的都会回滚，连接都会归还。
"""

import asyncio
import os
from secrets import token_hex

from sqlalchemy import NullPool, text
from sqlalchemy.ext.asyncio import async_sessionmaker, create_async_engine

URL = os.environ["DATABASE_URL"]
NAME = {"server_settings": {"application_name": "teahouse"}}
engine = create_async_engine(URL, connect_args=NAME)
watcher = create_async_engine(URL, poolclass=NullPool)
async_session = async_sessionmaker(engine)
ORDERS = f"guide_orders_{token_hex(4)}"
INSERT = text(f"INSERT INTO {ORDERS} (drink) VALUES (:drink)")
brewing = asyncio.Event()


async def order(drink: str) -> None:
    async with async_session() as session:
        await session.execute(INSERT, {"drink": drink})
        if drink == "oolong":
            raise LookupError("out of oolong")
        if drink == "pu-erh":
            brewing.set()
            await asyncio.Event().wait()


async def on_the_server() -> str:
    query = """SELECT state || ', last query ' || query FROM pg_stat_activity
        WHERE application_name = 'teahouse'
        AND datname = current_database()"""
    async with watcher.connect() as connection:
        rows = await connection.scalar(text(f"SELECT count(*) FROM {ORDERS}"))
        backends = (await connection.scalars(text(query))).all()
        return f"rows {rows}, backends {backends}"


async def main() -> None:
    async with watcher.begin() as connection:
        await connection.execute(text(f"CREATE TABLE {ORDERS} (drink text)"))
    await order("longjing")
    print("reached the end:", await on_the_server())
    #> reached the end: rows 0, backends ['idle, last query ROLLBACK;']
    await asyncio.gather(order("oolong"), return_exceptions=True)
    print("exception:", await on_the_server())
    #> exception: rows 0, backends ['idle, last query ROLLBACK;']
    task = asyncio.create_task(order("pu-erh"))
    await brewing.wait()
    task.cancel()
    await asyncio.wait([task])
    print("cancelled:", await on_the_server())
    #> cancelled: rows 0, backends ['idle, last query ROLLBACK;']
    async with watcher.begin() as connection:
        await connection.execute(text(f"DROP TABLE {ORDERS}"))
    await engine.dispose()


asyncio.run(main())
