"""Two tasks on one session: an error with a cold pool, none with a warm one.

两个任务共用一个会话：池是空的就报错，池里有连接就不报错。
"""

import asyncio
import os

from sqlalchemy import text
from sqlalchemy.ext.asyncio import (
    AsyncEngine,
    AsyncSession,
    create_async_engine,
)

URL = os.environ["DATABASE_URL"]


async def two_at_once(engine: AsyncEngine) -> list[str]:
    async with AsyncSession(engine) as session:
        results = await asyncio.gather(
            session.execute(text("SELECT 'longjing'")),
            session.execute(text("SELECT 'oolong'")),
            return_exceptions=True,
        )
    return [
        str(result).split(" (Background")[0]
        if isinstance(result, Exception)
        else "ok"
        for result in results
    ]


async def main() -> None:
    engine = create_async_engine(URL)
    print("cold pool:", await two_at_once(engine))
    #> cold pool: ['ok', 'This session is provisioning a new connection; concurrent operations are not permitted']
    print("warm pool:", await two_at_once(engine))
    #> warm pool: ['ok', 'ok']
    await engine.dispose()

    engine = create_async_engine(URL, pool_pre_ping=True)
    async with engine.connect():
        pass
    print("warm pool, pre-ping:", await two_at_once(engine))
    #> warm pool, pre-ping: ['ok', 'This session is provisioning a new connection; concurrent operations are not permitted']
    await engine.dispose()


asyncio.run(main())
