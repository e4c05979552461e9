"""What AnyIO cancels runs on at the server, even beyond the limit of the pool.

被 AnyIO 取消的查询还在服务端跑，个数甚至能超过连接池的上限。
"""

import asyncio
import os
from secrets import token_hex

import anyio
from sqlalchemy import NullPool, text
from sqlalchemy.ext.asyncio import async_sessionmaker, create_async_engine

URL = os.environ["DATABASE_URL"]
NAME = {"application_name": f"teahouse_{token_hex(4)}"}
engine = create_async_engine(
    URL, pool_size=2, max_overflow=0, connect_args={"server_settings": NAME}
)
watcher = create_async_engine(URL, poolclass=NullPool)
async_session = async_sessionmaker(engine)


async def order() -> None:
    async with async_session() as session:
        await session.execute(text("SELECT pg_sleep(60)"))


async def on_the_server(function: str = "count(*)") -> int:
    query = f"""SELECT {function} FROM pg_stat_activity
        WHERE application_name = :application_name AND wait_event = 'PgSleep'"""
    async with watcher.connect() as connection:
        return await connection.scalar(text(query), NAME) or 0


async def running(expected: int) -> int:
    async with asyncio.timeout(10):
        while await on_the_server() != expected:
            pass
    return expected


async def main() -> None:
    for _ in range(8):
        async with asyncio.TaskGroup() as of_asyncio:
            task = of_asyncio.create_task(order())
            await running(1)
            task.cancel()
    print("asyncio, 8 times:", await running(0))
    #> asyncio, 8 times: 0
    for before in range(8):
        async with anyio.create_task_group() as of_anyio:
            of_anyio.start_soon(order)
            await running(before + 1)
            of_anyio.cancel_scope.cancel()
    print("AnyIO, 8 times:", await running(8))
    #> AnyIO, 8 times: 8
    print(engine.pool.status())
    #> Pool size: 2  Connections in pool: 1 Current Overflow: -1 Current Checked out connections: 0
    await on_the_server("pg_terminate_backend(pid)")
    await engine.dispose()


asyncio.run(main())
