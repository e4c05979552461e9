"""In AUTOCOMMIT the log still says BEGIN and ROLLBACK, the wire does not.

AUTOCOMMIT 下日志照样写 BEGIN 和 ROLLBACK，却没有发给服务端。
"""

import asyncio
import logging
import os
from typing import Any

from sqlalchemy import event, text
from sqlalchemy.ext.asyncio import (
    AsyncEngine,
    AsyncSession,
    create_async_engine,
)

lines: list[str] = []
sent: list[str] = []


class Keep(logging.Handler):
    def emit(self, record: logging.LogRecord) -> None:
        if record.msg.startswith(("BEGIN", "ROLLBACK")):
            lines.append(record.msg)


logging.getLogger("sqlalchemy.engine").addHandler(Keep())
logging.getLogger("sqlalchemy.engine").setLevel(logging.INFO)
engine = create_async_engine(os.environ["DATABASE_URL"])
autocommit = engine.execution_options(isolation_level="AUTOCOMMIT")


@event.listens_for(engine.sync_engine, "connect")
def listen(connection: Any, _: object) -> None:
    connection.driver_connection.add_query_logger(
        lambda record: sent.append(record.query)
    )


async def read(engine: AsyncEngine) -> None:
    lines.clear()
    sent.clear()
    async with AsyncSession(engine) as session:
        await session.execute(text("SELECT 'oolong'"))


async def main() -> None:
    await read(autocommit)
    for line in lines:
        print("log:", line)
        #> log: BEGIN (implicit; DBAPI should not BEGIN due to autocommit mode)
        #> log: ROLLBACK using DBAPI connection.rollback(); set skip_autocommit_rollback to prevent fully
    print("sent:", sent)
    #> sent: []
    await read(engine)
    print("sent by the next session:", sent)
    #> sent by the next session: ['BEGIN ISOLATION LEVEL READ COMMITTED;', 'ROLLBACK;']
    await engine.dispose()


asyncio.run(main())
