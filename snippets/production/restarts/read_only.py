"""After a failover pooled connections only read; a listener renews them.

主备切换之后，池里的连接写不了；加一个监听器，报一次错就全换新。
"""

import asyncio
import os
from secrets import token_hex
from typing import Any

from sqlalchemy import event, text
from sqlalchemy.exc import DBAPIError
from sqlalchemy.ext.asyncio import AsyncEngine, create_async_engine

URL = os.environ["DATABASE_URL"]
ORDERS = f"guide_orders_{token_hex(4)}"
leads_to_standby = False


def connect(_: object, record: object, args: object, options: Any) -> None:
    setting = "on" if leads_to_standby else "off"
    options["server_settings"] = {"default_transaction_read_only": setting}


def renew(context: Any) -> None:
    if getattr(context.original_exception, "sqlstate", None) == "25006":
        context.is_disconnect = True


async def update(engine: AsyncEngine) -> str:
    try:
        async with engine.begin() as connection:
            await connection.execute(text(f"UPDATE {ORDERS} SET id = 8"))
    except DBAPIError as error:
        return str(error.orig)
    return "updated"


async def main() -> None:
    global leads_to_standby
    primary = create_async_engine(URL)
    async with primary.begin() as connection:
        await connection.execute(text(f"CREATE TABLE {ORDERS} (id int)"))
    for listens in (False, True):
        engine = create_async_engine(URL, pool_pre_ping=True)
        event.listen(engine.sync_engine, "do_connect", connect)
        if listens:
            event.listen(engine.sync_engine, "handle_error", renew)
        leads_to_standby = True
        async with engine.connect(), engine.connect():
            leads_to_standby = False
        for said in [await update(engine) for _ in range(3)]:
            print(f"listens {listens}: {said}")
            #> listens False: cannot execute UPDATE in a read-only transaction
            #> listens False: cannot execute UPDATE in a read-only transaction
            #> listens False: cannot execute UPDATE in a read-only transaction
            #> listens True: cannot execute UPDATE in a read-only transaction
            #> listens True: updated
            #> listens True: updated
        await engine.dispose()
    async with primary.begin() as connection:
        await connection.execute(text(f"DROP TABLE {ORDERS}"))
    await primary.dispose()


asyncio.run(main())
