"""The server ends the connection, and its error replaces the one of your code.

服务端断开连接之后，离开代码块时的报错会盖掉你自己的异常。
"""

import asyncio
import os

from sqlalchemy import NullPool, text
from sqlalchemy.exc import DBAPIError
from sqlalchemy.ext.asyncio import (
    AsyncSession,
    async_sessionmaker,
    create_async_engine,
)

URL = os.environ["DATABASE_URL"]
engine = create_async_engine(URL)
watcher = create_async_engine(URL, poolclass=NullPool)
async_session = async_sessionmaker(engine)


async def lose_connection(session: AsyncSession) -> None:
    pid = await session.scalar(text("SELECT pg_backend_pid()"))
    async with watcher.connect() as connection:
        await connection.execute(
            text("SELECT pg_terminate_backend(:pid, 5000)"), {"pid": pid}
        )


async def out_of_oolong() -> None:
    async with async_session() as session:
        await lose_connection(session)
        raise LookupError("out of oolong")


async def to_the_end() -> None:
    async with async_session.begin() as session:
        await lose_connection(session)


async def main() -> None:
    for work in (to_the_end, out_of_oolong):
        try:
            await work()
        except DBAPIError as error:
            instead_of = error.__context__
            print(f"{work.__name__}: {error.orig}")
            #> to_the_end: cannot call Transaction.commit(): the underlying connection is closed
            #> out_of_oolong: cannot call Transaction.rollback(): the underlying connection is closed
    print("instead of:", repr(instead_of))
    #> instead of: LookupError('out of oolong')
    print(engine.pool.status())
    #> Pool size: 5  Connections in pool: 1 Current Overflow: -4 Current Checked out connections: 0
    await engine.dispose()


asyncio.run(main())
