"""With LIFO some connections idle long enough for the server to end them.

后进先出让一部分连接一直空闲，由服务端来关。
"""

import asyncio
import os
from secrets import token_hex
from string import ascii_uppercase

from sqlalchemy import NullPool, text
from sqlalchemy.ext.asyncio import async_sessionmaker, create_async_engine

URL = os.environ["DATABASE_URL"]
NAME = f"teahouse_{token_hex(4)}"
SETTINGS = {"application_name": NAME, "idle_session_timeout": "1s"}
watcher = create_async_engine(URL, poolclass=NullPool)


async def alive() -> int:
    query = f"""SELECT count(*) FROM pg_stat_activity
        WHERE application_name = '{NAME}'"""
    async with watcher.connect() as connection:
        return await connection.scalar(text(query)) or 0


async def quiet_hour(lifo: bool, at_last: int) -> None:
    engine = create_async_engine(
        URL,
        pool_use_lifo=lifo,
        pool_pre_ping=True,
        connect_args={"server_settings": SETTINGS},
    )
    async_session = async_sessionmaker(engine)
    lent = [await engine.connect() for _ in range(5)]
    for connection in lent:
        await connection.close()

    letters: dict[int, str] = {}
    order = ""
    while len(order) < 30 or await alive() != at_last:
        async with async_session() as session:
            pid = await session.scalar(text("SELECT pg_backend_pid()"))
            await asyncio.sleep(0.05)
        order += letters.setdefault(pid, ascii_uppercase[len(letters) % 26])
    print(f"LIFO {lifo}: {order[:12]}, alive:", await alive())
    #> LIFO False: ABCDEABCDEAB, alive: 5
    #> LIFO True: AAAAAAAAAAAA, alive: 1
    await engine.dispose()


async def main() -> None:
    await quiet_hour(lifo=False, at_last=5)
    await quiet_hour(lifo=True, at_last=1)


asyncio.run(main())
