"""Behind PgBouncer, names of another client are taken: send statements unnamed.

PgBouncer 后面，别的客户端已经占了名字：关掉缓存，语句就不带名字。
"""

import asyncio
import os
import re
from typing import Any

from sqlalchemy import event, text
from sqlalchemy.exc import ProgrammingError
from sqlalchemy.ext.asyncio import create_async_engine

URL = os.environ["DATABASE_URL"]
OOLONG = text("SELECT 'oolong'")
NO_CACHE = {"statement_cache_size": 0, "prepared_statement_cache_size": 0}
TAKEN = "DEALLOCATE ALL;" + ";".join(
    f"PREPARE __asyncpg_stmt_{number:x}__ AS SELECT {number}"
    for number in range(1, 100)
)


async def brew(**connect_args: Any) -> str:
    engine = create_async_engine(URL, connect_args=connect_args)

    @event.listens_for(engine.sync_engine, "connect")
    def another_client_was_here(dbapi: Any, _: object) -> None:
        dbapi.run_async(lambda driver: driver.execute(TAKEN))

    try:
        async with engine.connect() as connection:
            return str(await connection.scalar(OOLONG))
    except ProgrammingError as error:
        return re.sub(r"_stmt_\w+", "_...", str(error.orig).splitlines()[0])
    finally:
        await engine.dispose()


async def main() -> None:
    print(await brew())
    #> prepared statement "__asyncpg_..." already exists
    print(await brew(**NO_CACHE))
    #> oolong


asyncio.run(main())
