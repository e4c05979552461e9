"""Closed objects of SQLAlchemy: the connection at the server is well.

关闭的是 SQLAlchemy 的对象，服务端的连接没有断。
"""

import asyncio
import os

from sqlalchemy import text
from sqlalchemy.exc import ResourceClosedError
from sqlalchemy.ext.asyncio import (
    AsyncConnection,
    async_sessionmaker,
    create_async_engine,
)

engine = create_async_engine(os.environ["DATABASE_URL"])
async_session = async_sessionmaker(engine)
QUERY = text("SELECT 'oolong'")


async def ask(connection: AsyncConnection) -> str:
    try:
        return str(await connection.scalar(QUERY))
    except ResourceClosedError as error:
        return f"ResourceClosedError: {error}"


async def main() -> None:
    async with engine.connect() as connection:
        print("inside the block:", await ask(connection))
        #> inside the block: oolong
    print("after the block:", await ask(connection))
    #> after the block: ResourceClosedError: This Connection is closed

    async with async_session() as session:
        connection = await session.connection()
        await session.commit()
        print("after the commit:", await ask(connection))
        #> after the commit: ResourceClosedError: This Connection is closed
        connection = await session.connection()
        print("asked for anew:", await ask(connection))
        #> asked for anew: oolong
    print(engine.pool.status())
    #> Pool size: 5  Connections in pool: 1 Current Overflow: -4 Current Checked out connections: 0
    await engine.dispose()


asyncio.run(main())
