"""When the garbage collector finds a leak, name the line that took it.

垃圾回收发现泄漏时，说出借走它的那一行。
"""

import asyncio
import gc
import logging
import os
import sysconfig
import warnings
from traceback import StackSummary, walk_stack

import greenlet  # type: ignore[import-untyped]
from sqlalchemy import PoolResetState, event, text
from sqlalchemy.ext.asyncio import async_sessionmaker, create_async_engine
from sqlalchemy.pool import ConnectionPoolEntry as Entry

engine = create_async_engine(os.environ["DATABASE_URL"])
async_session = async_sessionmaker(engine)
LIBRARIES = *map(sysconfig.get_path, ("stdlib", "purelib")), "<"


@event.listens_for(engine.sync_engine, "checkout")
def borrow(_: object, entry: Entry, proxy: object) -> None:
    frames = walk_stack(greenlet.getcurrent().parent.gr_frame)
    stack = StackSummary.extract(frames, lookup_lines=False)
    ours = (one for one in stack if not one.filename.startswith(LIBRARIES))
    entry.info["taken by"] = next(ours, None)


@event.listens_for(engine.sync_engine, "reset")
def blame(_: object, entry: Entry, reset: PoolResetState) -> None:
    if not reset.asyncio_safe:  # so it is the garbage collector
        leak = entry.info["taken by"]
        print(f"lost by {leak.name}(): {leak.line}")
        #> lost by guest(): await session.execute(text("SELECT :drink"), {"drink": drink})


async def guest(drink: str) -> None:
    session = async_session()
    await session.execute(text("SELECT :drink"), {"drink": drink})


async def careful_guest(drink: str) -> None:
    async with async_session() as session:
        await session.execute(text("SELECT :drink"), {"drink": drink})


async def main() -> None:
    gc.disable()  # it comes when it likes; here it comes when we look
    warnings.simplefilter("ignore")
    logging.getLogger("sqlalchemy.pool").addHandler(logging.NullHandler())
    await careful_guest("longjing")
    await guest("oolong")
    gc.collect()
    await engine.dispose()


asyncio.run(main())
