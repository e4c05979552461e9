"""The pool's events in their order, for each way a loan can end.

连接借出之后，每一种结局的事件顺序。
"""

import asyncio
import os

from sqlalchemy import event
from sqlalchemy.ext.asyncio import create_async_engine

engine = create_async_engine(
    os.environ["DATABASE_URL"], pool_size=1, max_overflow=1
)
EVENTS = (
    "first_connect connect checkout reset checkin"
    " soft_invalidate invalidate close"
)
seen: list[str] = []

try:
    event.listen(engine, "checkout", print)
except NotImplementedError as error:
    print(error)
    #> asynchronous events are not implemented at this time.  Apply synchronous listeners to the AsyncEngine.sync_engine or AsyncConnection.sync_connection attributes.


def listen(name: str) -> None:
    event.listen(engine.sync_engine, name, lambda *_: seen.append(name))


def tell(what: str) -> None:
    print(f"{what}:", *seen)
    #> returned: first_connect connect checkout reset checkin
    #> returned, not to be used again: checkout soft_invalidate reset checkin
    #> replaced, then invalidated: close connect checkout invalidate close checkin
    #> returned as overflow: reset checkin close
    #> dispose(): close
    seen.clear()


async def main() -> None:
    for name in EVENTS.split():
        listen(name)
    async with engine.connect():
        pass
    tell("returned")
    async with engine.connect() as connection:
        (await connection.get_raw_connection()).invalidate(soft=True)
    tell("returned, not to be used again")
    async with engine.connect() as connection:
        await connection.invalidate()
    tell("replaced, then invalidated")
    async with engine.connect():
        async with engine.connect():
            pass
        seen.clear()
    tell("returned as overflow")
    await engine.dispose()
    tell("dispose()")


asyncio.run(main())
