"""Which settings take the ROLLBACK of a reading session away.

哪些设置能去掉只读会话末尾的 ROLLBACK。
"""

import asyncio
import os
from typing import Any

from sqlalchemy import event, text
from sqlalchemy.ext.asyncio import AsyncSession, create_async_engine

ORDER = text("SELECT 'oolong'")


async def sent(commit: bool = False, **options: Any) -> list[str]:
    engine = create_async_engine(os.environ["DATABASE_URL"], **options)
    queries: list[str] = []

    @event.listens_for(engine.sync_engine, "connect")
    def listen(connection: Any, _: object) -> None:
        connection.driver_connection.add_query_logger(
            lambda record: queries.append(record.query)
        )

    async with AsyncSession(engine) as session:
        await session.execute(ORDER)
        if commit:
            await session.commit()
    await engine.dispose()
    return queries


async def main() -> None:
    print("as it is:", await sent())
    #> as it is: ['BEGIN;', 'ROLLBACK;']
    print("reset None:", await sent(pool_reset_on_return=None))
    #> reset None: ['BEGIN;', 'ROLLBACK;']
    print("reset commit:", await sent(pool_reset_on_return="commit"))
    #> reset commit: ['BEGIN;', 'ROLLBACK;']
    print("session.commit():", await sent(commit=True))
    #> session.commit(): ['BEGIN;', 'COMMIT;']
    print("AUTOCOMMIT:", await sent(isolation_level="AUTOCOMMIT"))
    #> AUTOCOMMIT: []


asyncio.run(main())
