"""In AUTOCOMMIT a connection is lent until it is closed, too.

AUTOCOMMIT 下，连接也要关闭才会归还。
"""

import asyncio
import os

from sqlalchemy import text
from sqlalchemy.ext.asyncio import create_async_engine

engine = create_async_engine(
    os.environ["DATABASE_URL"], isolation_level="AUTOCOMMIT"
)


async def main() -> None:
    connection = await engine.connect()
    await connection.execute(text("SELECT 'oolong'"))
    print("after the query:", engine.pool.status())
    #> after the query: Pool size: 5  Connections in pool: 0 Current Overflow: -4 Current Checked out connections: 1
    await connection.close()
    print("closed:", engine.pool.status())
    #> closed: Pool size: 5  Connections in pool: 1 Current Overflow: -4 Current Checked out connections: 0
    await engine.dispose()


asyncio.run(main())
