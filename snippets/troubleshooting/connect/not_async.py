"""An async engine refuses a driver that is not async, by its name.

异步引擎不收同步驱动，报错里写着是哪个驱动。
"""

import asyncio
import os

from sqlalchemy import make_url, text
from sqlalchemy.exc import InvalidRequestError
from sqlalchemy.ext.asyncio import create_async_engine

url = make_url(os.environ["DATABASE_URL"])


async def main() -> None:
    try:
        create_async_engine("sqlite://")  # a driver that Python brings
    except InvalidRequestError as error:
        print(type(error).__name__, *error.args)
        #> InvalidRequestError The asyncio extension requires an async driver to be used. The loaded 'pysqlite' is not async.

    engine = create_async_engine(url.set(drivername="postgresql+asyncpg"))
    async with engine.connect() as connection:
        longjing = await connection.scalar(text("SELECT 'longjing'"))
        print(engine.driver, "is async:", longjing)
        #> asyncpg is async: longjing
    await engine.dispose()


asyncio.run(main())
