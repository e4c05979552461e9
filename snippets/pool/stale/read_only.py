"""A standby passes the pre-ping, and refuses every write.

只读备库通得过预检，却拒绝每一次写入。
"""

import asyncio
import os
from secrets import token_hex

from sqlalchemy import NullPool, event, text
from sqlalchemy.engine import ExceptionContext
from sqlalchemy.exc import DBAPIError
from sqlalchemy.ext.asyncio import AsyncEngine, create_async_engine

URL = os.environ["DATABASE_URL"]
ORDERS = f"guide_orders_{token_hex(4)}"
INSERT = f"INSERT INTO {ORDERS} VALUES (1, 'oolong')"
watcher = create_async_engine(URL, poolclass=NullPool)
address = {"default_transaction_read_only": "on"}


def do_connect(*arguments: dict[str, object]) -> None:
    arguments[-1]["server_settings"] = dict(address)


def renew_if_read_only(context: ExceptionContext) -> None:
    if getattr(context.original_exception, "sqlstate", None) == "25006":
        context.is_disconnect = True


async def write(engine: AsyncEngine, statement: str) -> str:
    try:
        async with engine.begin() as connection:
            await connection.execute(text(statement))
        return "done"
    except DBAPIError as error:
        return str(error.orig)


async def main() -> None:
    create = f"CREATE TABLE {ORDERS} (id int, drink text)"
    if (refusal := await write(watcher, create)) != "done":
        raise SystemExit(refusal)
    engine = create_async_engine(URL, pool_pre_ping=True)
    event.listen(engine.sync_engine, "do_connect", do_connect)
    async with engine.connect() as connection:
        print("read:", await connection.scalar(text("SELECT 'longjing'")))
        #> read: longjing
    # From now on the address leads to the new primary.
    address["default_transaction_read_only"] = "off"
    for guest in range(1, 4):
        print(f"write {guest}:", await write(engine, INSERT))
        #> write 1: cannot execute INSERT in a read-only transaction
        #> write 2: cannot execute INSERT in a read-only transaction
        #> write 3: cannot execute INSERT in a read-only transaction
    event.listen(engine.sync_engine, "handle_error", renew_if_read_only)
    for guest in range(4, 7):
        print(f"write {guest}:", await write(engine, INSERT))
        #> write 4: cannot execute INSERT in a read-only transaction
        #> write 5: done
        #> write 6: done
    await engine.dispose()
    await write(watcher, f"DROP TABLE {ORDERS}")


asyncio.run(main())
