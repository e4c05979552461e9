"""A blocked loop fails the waiting, though the connection has long been free.

事件循环被卡住，排队的任务就超时，哪怕连接早就没人在用了。
"""

import asyncio
import os
import time

from sqlalchemy import exc, text
from sqlalchemy.ext.asyncio import async_sessionmaker, create_async_engine

engine = create_async_engine(
    os.environ["DATABASE_URL"], pool_size=1, max_overflow=0, pool_timeout=0.5
)
async_session = async_sessionmaker(engine)


def grind() -> None:
    time.sleep(1)  # synchronous work: a request, a password hash, a PDF


async def guest(seated: asyncio.Event) -> str:
    try:
        async with async_session() as session:
            await session.execute(text("SELECT 'longjing'"))
            seated.set()
            await session.execute(text("SELECT 'oolong'"))
            return "served"
    except exc.TimeoutError as error:
        return str(error).split(" (Background")[0]


async def two_guests(blocking: bool) -> list[str]:
    seated = asyncio.Event()
    async with asyncio.TaskGroup() as guests:
        first = guests.create_task(guest(seated))
        await seated.wait()
        second = guests.create_task(guest(seated))
        await asyncio.sleep(0)  # the second guest is now waiting
        if blocking:
            grind()
        else:
            await asyncio.to_thread(grind)
    return [first.result(), second.result()]


async def main() -> None:
    print("grind()   :", await two_guests(blocking=True))
    #> grind()   : ['served', 'QueuePool limit of size 1 overflow 0 reached, connection timed out, timeout 0.50']
    print("to_thread():", await two_guests(blocking=False))
    #> to_thread(): ['served', 'served']
    await engine.dispose()


asyncio.run(main())
