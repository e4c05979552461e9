"""What returns when `pool_size` are idle is closed: here the older connection.

归还时空闲连接已有 `pool_size` 个，就关掉：这里四次关的都是更老的那个连接。
"""

import asyncio
import os

from sqlalchemy import text
from sqlalchemy.ext.asyncio import AsyncConnection, create_async_engine

engine = create_async_engine(
    os.environ["DATABASE_URL"], pool_size=1, max_overflow=1
)
pids: list[int] = []


async def letter(connection: AsyncConnection) -> str:
    """A for the first backend, B for the second, and so on."""
    pid = await connection.scalar(text("SELECT pg_backend_pid()"))
    if pid not in pids:
        pids.append(pid)
    return "ABCDEF"[pids.index(pid)]


async def main() -> None:
    for _ in range(4):
        async with engine.connect() as first, engine.connect() as second:
            print(await letter(first), await letter(second))
            #> A B
            #> B C
            #> C D
            #> D E
    await engine.dispose()


asyncio.run(main())
