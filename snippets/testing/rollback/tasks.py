"""Two sessions of a test on its one connection cannot work at the same time.

测试里的两个会话共用一个连接，不能同时使用。
"""

import asyncio
import os
import warnings

from sqlalchemy import text
from sqlalchemy.ext.asyncio import (
    AsyncConnection,
    AsyncSession,
    create_async_engine,
)

engine = create_async_engine(os.environ["DATABASE_URL"])


async def guest(connection: AsyncConnection, tea: str) -> str:
    async with AsyncSession(
        connection, join_transaction_mode="create_savepoint"
    ) as session:
        poured = await session.scalar(text("SELECT :tea"), {"tea": tea})
        await session.commit()
        return str(poured)


async def main() -> None:
    async with engine.connect() as connection:
        await connection.begin()
        one = await guest(connection, "longjing")
        other = await guest(connection, "oolong")
        print("one after the other:", one, other)
        #> one after the other: longjing oolong
    async with engine.connect() as connection:
        await connection.begin()
        with warnings.catch_warnings(record=True, action="always") as said:
            results = await asyncio.gather(
                guest(connection, "longjing"),
                guest(connection, "oolong"),
                return_exceptions=True,
            )
        print(*[f"{each.category.__name__} {each.message}" for each in said])
        #> SAWarning nested transaction already deassociated from connection
        for result in results:
            print(type(result).__name__, str(result).splitlines()[0])
            #> str longjing
            #> DBAPIError (sqlalchemy.dialects.postgresql.asyncpg.Error) savepoint "sa_savepoint_2" does not exist
    await engine.dispose()


asyncio.run(main())
