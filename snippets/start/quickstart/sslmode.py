"""asyncpg refuses `sslmode` in the URL; the same values work as `ssl`.

asyncpg 不认 URL 里的 `sslmode`；参数名改成 `ssl`，取值不变。
"""

import asyncio
import os

from sqlalchemy import make_url, text
from sqlalchemy.ext.asyncio import create_async_engine

url = make_url(os.environ["DATABASE_URL"])


async def main() -> None:
    engine = create_async_engine(url.update_query_dict({"sslmode": "prefer"}))
    try:
        async with engine.connect():
            pass
    except TypeError as error:
        print("TypeError:", error)
        #> TypeError: connect() got an unexpected keyword argument 'sslmode'

    engine = create_async_engine(url.update_query_dict({"ssl": "prefer"}))
    async with engine.connect() as connection:
        print(await connection.scalar(text("SELECT 'connected'")))
        #> connected
    await engine.dispose()


asyncio.run(main())
