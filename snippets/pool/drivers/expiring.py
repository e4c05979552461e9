"""A password that expires: asyncpg asks for a new one at each login.

密码会过期：asyncpg 每次登录都去取一个新的。
"""

import asyncio
import os

from sqlalchemy import make_url
from sqlalchemy.ext.asyncio import create_async_engine

url = make_url(os.environ["DATABASE_URL"])
asked = 0


async def token() -> str:  # a cloud's generate_db_auth_token(), say
    global asked
    asked += 1
    return url.password or ""


engine = create_async_engine(url, connect_args={"password": token})


async def three_guests() -> None:
    async with engine.connect(), engine.connect(), engine.connect():
        pass


async def main() -> None:
    await three_guests()
    print("three connections opened, tokens asked for:", asked)
    #> three connections opened, tokens asked for: 3
    await three_guests()
    print("the same three lent again:", asked)
    #> the same three lent again: 3
    await engine.dispose()
    await three_guests()
    print("three new ones:", asked)
    #> three new ones: 6
    await engine.dispose()


asyncio.run(main())
