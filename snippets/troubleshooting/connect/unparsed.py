"""What is no URL is refused in full, and a missing variable by its None.

不是 URL 的字符串直接被拒绝；环境变量没设，报错里写的是 None。
"""

import asyncio
import os

from sqlalchemy import text
from sqlalchemy.ext.asyncio import create_async_engine

right = os.environ["DATABASE_URL"]
WRONG = {
    "an empty variable": "",
    "quotes inside": f'"{right}"',
    "without a scheme": right.partition("://")[2],
    "a JDBC address": "jdbc:" + right,
    "a port to fill in": "postgresql+asyncpg://tea@db.example:PORT/tea",
    "no variable": os.environ.get("DATABASE_URI_OF_NOBODY"),
}


async def main() -> None:
    for mistake, url in WRONG.items():
        try:
            create_async_engine(url)  # type: ignore[arg-type]
        except Exception as error:
            print(f"{mistake}: {type(error).__name__}: {error}")
            #> an empty variable: ArgumentError: Could not parse SQLAlchemy URL from given URL string
            #> quotes inside: ArgumentError: Could not parse SQLAlchemy URL from given URL string
            #> without a scheme: ArgumentError: Could not parse SQLAlchemy URL from given URL string
            #> a JDBC address: ArgumentError: Could not parse SQLAlchemy URL from given URL string
            #> a port to fill in: ValueError: invalid literal for int() with base 10: 'PORT'
            #> no variable: ArgumentError: Expected string or URL object, got None

    engine = create_async_engine(right)
    async with engine.connect() as connection:
        print("the URL:", await connection.scalar(text("SELECT 'connected'")))
        #> the URL: connected
    await engine.dispose()


asyncio.run(main())
