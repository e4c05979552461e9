"""Code without await needs run_sync(); called directly it raises.

没有 await 的同步代码要经过 run_sync()，直接调用就报错。
"""

import asyncio
import os
from secrets import token_hex

from sqlalchemy import Connection, text
from sqlalchemy.exc import MissingGreenlet
from sqlalchemy.ext.asyncio import create_async_engine

ORDERS = f"guide_orders_{token_hex(4)}"
engine = create_async_engine(os.environ["DATABASE_URL"])


def migrate(connection: Connection) -> None:
    connection.execute(text(f"CREATE TABLE {ORDERS} (drink text)"))


async def main() -> None:
    async with engine.begin() as connection:
        assert connection.sync_connection
        try:
            migrate(connection.sync_connection)
        except MissingGreenlet as error:
            print(error)
            #> greenlet_spawn has not been called; can't call await_() here. Was IO attempted in an unexpected place? (Background on this error at: https://sqlalche.me/e/21/xd2s)
        await connection.run_sync(migrate)
    async with engine.begin() as connection:
        rows = await connection.scalar(text(f"SELECT count(*) FROM {ORDERS}"))
        print("rows:", rows)
        #> rows: 0
        await connection.execute(text(f"DROP TABLE {ORDERS}"))
    await engine.dispose()


asyncio.run(main())
