"""A SET that was committed is still there for the next guest.

提交过的 SET，下一个请求还看得到。
"""

import asyncio
import os

from sqlalchemy import text
from sqlalchemy.ext.asyncio import async_sessionmaker, create_async_engine

engine = create_async_engine(os.environ["DATABASE_URL"])
async_session = async_sessionmaker(engine)
# policies of row level security read such a setting
WHO = text("SELECT current_setting('teahouse.guest', true)")
I_AM = text("SELECT set_config('teahouse.guest', :name, :local)")


async def serve(name: str, local: bool) -> None:
    async with async_session.begin() as session:
        await session.execute(I_AM, {"name": name, "local": local})


async def next_request() -> str:
    async with async_session() as session:
        return await session.scalar(WHO) or "nobody"


async def main() -> None:
    await serve("Lu Yu", local=True)
    print("for the transaction, like SET LOCAL:", await next_request())
    #> for the transaction, like SET LOCAL: nobody
    await serve("Lu Yu", local=False)
    print("for the connection, like SET:", await next_request())
    #> for the connection, like SET: Lu Yu
    await engine.dispose()


asyncio.run(main())
