"""Which lines of your own code took the connections that are out.

借出未还的连接，是你的哪几行代码借走的。
"""

import asyncio
import os
import sys
import sysconfig
from itertools import chain
from time import monotonic
from traceback import FrameSummary, StackSummary, walk_stack

import greenlet  # type: ignore[import-untyped]
from sqlalchemy import event, text
from sqlalchemy.ext.asyncio import AsyncSession, create_async_engine
from sqlalchemy.pool import ConnectionPoolEntry as Entry

engine = create_async_engine(os.environ["DATABASE_URL"])
LIBRARIES = *map(sysconfig.get_path, ("stdlib", "purelib")), "<"
lent: dict[Entry, tuple[float, list[FrameSummary]]] = {}


@event.listens_for(engine.sync_engine, "checkout")
def borrow(_: object, entry: Entry, proxy: object) -> None:
    awaiting = greenlet.getcurrent().parent.gr_frame
    frames = chain(walk_stack(sys._getframe(1)), walk_stack(awaiting))
    stack = StackSummary.extract(frames, lookup_lines=False)
    ours = [one for one in stack if not one.filename.startswith(LIBRARIES)]
    lent[entry] = monotonic(), ours[:2]


@event.listens_for(engine.sync_engine, "checkin")
@event.listens_for(engine.sync_engine, "detach")
def give_back(_: object, entry: Entry) -> None:
    lent.pop(entry, None)


def print_lent(seconds: float) -> None:
    for since, frames in lent.values():
        if monotonic() - since >= seconds:
            # in your log: one.filename and one.lineno, too
            print(*(f"{one.name}: {one.line}" for one in frames), sep=" < ")
            #> serve: await session.execute(text("SELECT 'pu-erh'")) < main: await serve(session)


async def serve(session: AsyncSession) -> None:
    await session.execute(text("SELECT 'pu-erh'"))


async def main() -> None:
    session = AsyncSession(engine)
    await serve(session)
    print_lent(seconds=0)  # 30, say, in an application
    await session.close()
    await engine.dispose()


asyncio.run(main())
