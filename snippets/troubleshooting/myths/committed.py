"""A session's commit returns its connection; the next query may get another.

会话的 commit 会归还连接；下一条查询借到的可能是另一个。
"""

import asyncio
import os

from sqlalchemy import text
from sqlalchemy.ext.asyncio import async_sessionmaker, create_async_engine

engine = create_async_engine(os.environ["DATABASE_URL"])
async_session = async_sessionmaker(engine)
PID = text("SELECT pg_backend_pid()")


async def main() -> None:
    async with async_session() as session:
        first = await session.scalar(PID)
        await session.commit()
        print("committed:", engine.pool.status())
        #> committed: Pool size: 5  Connections in pool: 1 Current Overflow: -4 Current Checked out connections: 0
        async with engine.connect() as other:
            print("lent to another:", await other.scalar(PID) == first)
            #> lent to another: True
            print("the session's own:", await session.scalar(PID) == first)
            #> the session's own: False
    await engine.dispose()


asyncio.run(main())
