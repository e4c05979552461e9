"""A token kept for most of its life: one question for a burst of connections.

令牌快到期才换：一下子新建多个连接，也只取一次。
"""

import asyncio
import os
import time
from collections.abc import Awaitable, Callable

from sqlalchemy import make_url
from sqlalchemy.ext.asyncio import create_async_engine

URL = make_url(os.environ["DATABASE_URL"])
asked: list[str] = []


class Token:
    """What `fetch` gave, until `seconds` have gone by."""

    def __init__(self, fetch: Callable[[], Awaitable[str]], seconds: float):
        self.fetch, self.seconds = fetch, seconds
        self.value, self.until = "", 0.0
        self.lock = asyncio.Lock()

    async def __call__(self) -> str:
        async with self.lock:  # the others wait for the first one's answer
            if time.monotonic() >= self.until:
                self.value = await self.fetch()
                self.until = time.monotonic() + self.seconds
            return self.value


async def fetch() -> str:
    asked.append("token")
    await asyncio.sleep(0)  # here your program would ask the cloud
    return URL.password or ""


async def guest(open_door: asyncio.Barrier) -> None:
    async with engine.connect():
        await open_door.wait()


token = Token(fetch, seconds=10 * 60)  # of the 15 minutes that RDS gives
engine = create_async_engine(URL, connect_args={"password": token})


async def main() -> None:
    for moment in "at first", "later", "expired":
        if moment == "expired":
            token.until = 0.0
        await engine.dispose()
        open_door = asyncio.Barrier(5)
        await asyncio.gather(*(guest(open_door) for _ in range(5)))
        print(f"5 new connections, {moment}:", len(asked), "asked")
        #> 5 new connections, at first: 1 asked
        #> 5 new connections, later: 1 asked
        #> 5 new connections, expired: 2 asked
    await engine.dispose()


asyncio.run(main())
