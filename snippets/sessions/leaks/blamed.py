"""When the garbage collector finds a leak, name the line that took it.

垃圾回收发现泄漏时，说出借走它的那一行。
"""

import asyncio
import gc
import logging
import os
import sys
import warnings
from sysconfig import get_path
from traceback import StackSummary, walk_stack

import greenlet  # type: ignore[import-untyped]
from sqlalchemy import Pool, PoolResetState, event, text
from sqlalchemy.ext.asyncio import AsyncSession, create_async_engine
from sqlalchemy.pool import ConnectionPoolEntry as Entry

HOME, OURS = event.__file__.rsplit("sqlalchemy", 1)[0], __name__.split(".")[0]
LIBRARIES = (HOME, "<", *map(get_path, ("stdlib", "purelib", "scripts")))


@event.listens_for(Pool, "checkout")
def borrow(_: object, entry: Entry, proxy: object) -> None:
    frames = [*walk_stack(sys._getframe(1))]
    if above := greenlet.getcurrent().parent:  # None outside a greenlet
        frames += walk_stack(above.gr_frame)
    ours = [
        (frame, line)
        for frame, line in frames
        if frame.f_globals.get("__name__", "").split(".")[0] == OURS
        or not frame.f_code.co_filename.startswith(LIBRARIES)
    ]
    entry.info["taken"] = StackSummary.extract(ours[:1])


@event.listens_for(Pool, "reset")
def blame(_: object, entry: Entry, reset: PoolResetState) -> None:
    if not reset.asyncio_safe:  # so it is the garbage collector
        for leak in entry.info.get("taken", ()):
            print(f"lost by {leak.name}(): {leak.line}")
            #> lost by guest(): await session.execute(text("SELECT :drink"), {"drink": drink})


async def guest(session: AsyncSession, drink: str) -> None:
    await session.execute(text("SELECT :drink"), {"drink": drink})


async def main() -> None:
    engine = create_async_engine(os.environ["DATABASE_URL"])
    async with AsyncSession(engine) as session:
        await guest(session, "longjing")
    await guest(AsyncSession(engine), "oolong")
    gc.collect()
    await engine.dispose()


warnings.simplefilter("ignore")
logging.getLogger("sqlalchemy.pool").addHandler(logging.NullHandler())
asyncio.run(main())
