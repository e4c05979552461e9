"""Which lines of your own code took the connections that are out.

借出未还的连接，是你的哪几行代码借走的。
"""

import asyncio
import os
import sys
from sysconfig import get_path
from time import monotonic
from traceback import StackSummary, walk_stack

import greenlet  # type: ignore[import-untyped]
from sqlalchemy import Pool, event, text
from sqlalchemy.ext.asyncio import AsyncSession, create_async_engine

HOME, OURS = event.__file__.rsplit("sqlalchemy", 1)[0], __name__.split(".")[0]
LIBRARIES = (HOME, "<", *map(get_path, ("stdlib", "purelib", "scripts")))
lent: dict[object, tuple[float, StackSummary]] = {}


@event.listens_for(Pool, "checkout")
def borrow(_: object, entry: object, proxy: object) -> None:
    frames = [*walk_stack(sys._getframe(1))]
    if above := greenlet.getcurrent().parent:  # None outside a greenlet
        frames += walk_stack(above.gr_frame)
    ours = [
        (frame, line)
        for frame, line in frames
        if frame.f_globals.get("__name__", "").split(".")[0] == OURS
        or not frame.f_code.co_filename.startswith(LIBRARIES)
    ]
    lent[entry] = monotonic(), StackSummary.extract(ours[:2])


@event.listens_for(Pool, "checkin")
@event.listens_for(Pool, "detach")
def give_back(_: object, entry: object) -> None:
    lent.pop(entry, None)


def print_lent(seconds: float) -> None:
    for since, ours in [*lent.values()]:
        if monotonic() - since >= seconds:
            print(*(f"{one.name}: {one.line}" for one in ours), sep=" < ")
            #> serve: await session.execute(text("SELECT 'pu-erh'")) < main: await serve(session)


async def serve(session: AsyncSession) -> None:
    await session.execute(text("SELECT 'pu-erh'"))


async def main() -> None:
    engine = create_async_engine(os.environ["DATABASE_URL"])
    async with AsyncSession(engine) as session:
        await serve(session)
        print_lent(seconds=0)  # 30, say, in an application
    await engine.dispose()


asyncio.run(main())
