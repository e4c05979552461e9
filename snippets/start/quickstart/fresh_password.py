"""asyncpg asks a password function once for each connection that it opens.

密码写成函数，asyncpg 每新建一个连接就调用它一次。
"""

import asyncio
import os

from sqlalchemy import make_url, text
from sqlalchemy.ext.asyncio import create_async_engine

url = make_url(os.environ["DATABASE_URL"])
asked: list[str] = []


async def token() -> str:
    """Here your program would ask the cloud for a new token."""
    asked.append("token")
    return url.password or ""


# What stands in connect_args goes before the password of the URL.
engine = create_async_engine(url, connect_args={"password": token})
LONGJING = text("SELECT 'longjing'")


async def main() -> None:
    async with engine.connect() as one, engine.connect() as another:
        await one.execute(LONGJING)
        await another.execute(LONGJING)
    print("two connections opened:", *asked)
    #> two connections opened: token token
    async with engine.connect() as pooled:
        await pooled.execute(LONGJING)
    print("one of them used again:", *asked)
    #> one of them used again: token token
    await engine.dispose()


asyncio.run(main())
