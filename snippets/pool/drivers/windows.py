"""psycopg on Windows needs a SelectorEventLoop; two lines give it one.

psycopg 在 Windows 上要用 SelectorEventLoop，两行就换过去。
"""

import asyncio
import os

from sqlalchemy import make_url, text
from sqlalchemy.ext.asyncio import create_async_engine

URL = make_url(os.environ["DATABASE_URL"])
engine = create_async_engine(URL.set(drivername="postgresql+psycopg"))


async def main() -> None:
    loop = asyncio.get_running_loop()
    print("selector:", isinstance(loop, asyncio.SelectorEventLoop))
    #> selector: True
    async with engine.connect() as connection:
        print(await connection.scalar(text("SELECT 'longjing'")))
        #> longjing
    await engine.dispose()


with asyncio.Runner(loop_factory=asyncio.SelectorEventLoop) as runner:
    runner.run(main())
