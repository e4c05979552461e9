"""An engine with every pool argument spelled out is the default engine.

把每个和连接池有关的参数都写出来，全取默认值，得到的就是默认引擎。
"""

import asyncio
import os
from enum import Enum

from sqlalchemy import text
from sqlalchemy.ext.asyncio import AsyncEngine, create_async_engine
from sqlalchemy.pool import AsyncAdaptedQueuePool

URL = os.environ["DATABASE_URL"]
default = create_async_engine(URL)
spelled_out = create_async_engine(
    URL,
    pool_size=5,
    max_overflow=10,
    pool_timeout=30.0,
    pool_use_lifo=False,
    pool_recycle=-1,
    pool_pre_ping=False,
    pool_reset_on_return="rollback",
    isolation_level=None,
    skip_autocommit_rollback=False,
    poolclass=AsyncAdaptedQueuePool,
    pool_events=[],
    plugins=[],
    echo_pool=None,
    pool_logging_name=None,
    connect_args={
        "timeout": 60,
        "command_timeout": None,
        "server_settings": None,
        "statement_cache_size": 100,
        "prepared_statement_cache_size": 100,
        "prepared_statement_name_func": None,
    },
)


def settings(engine: AsyncEngine) -> dict[str, object]:
    plain = int | float | str | Enum | None
    return {k: v for k, v in vars(engine.pool).items() if isinstance(v, plain)}


async def main() -> None:
    print("same settings:", settings(spelled_out) == settings(default))
    #> same settings: True
    async with spelled_out.connect() as connection:
        print(await connection.scalar(text("SELECT 'longjing'")))
        #> longjing
    await spelled_out.dispose()


asyncio.run(main())
