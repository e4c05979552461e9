"""The size of a queue goes with the pool class that has a queue.

设置队列大小的参数，只能给有队列的连接池类。
"""

import asyncio
import os
from typing import Any

from sqlalchemy.ext.asyncio import create_async_engine
from sqlalchemy.pool import AsyncAdaptedQueuePool, NullPool, QueuePool

SIZES = {"pool_size": 5, "max_overflow": 10}
OPTIONS: list[dict[str, Any]] = [
    {"poolclass": QueuePool, **SIZES},
    SIZES,
    {"poolclass": AsyncAdaptedQueuePool, **SIZES},
    {"poolclass": NullPool, **SIZES},
    {"poolclass": NullPool},
]


async def main() -> None:
    for options in OPTIONS:
        try:
            engine = create_async_engine(os.environ["DATABASE_URL"], **options)
            async with engine.connect():
                said = f"connected through {type(engine.pool).__name__}"
            await engine.dispose()
        except Exception as error:
            said = f"{type(error).__name__}: {str(error).partition(' (')[0]}"
        print(said)
        #> ArgumentError: Pool class QueuePool cannot be used with asyncio engine
        #> connected through AsyncAdaptedQueuePool
        #> connected through AsyncAdaptedQueuePool
        #> TypeError: Invalid argument(s) 'pool_size','max_overflow' sent to create_engine(), using configuration PGDialect_asyncpg/NullPool/Engine.  Please check that the keyword arguments are appropriate for this combination of components.
        #> connected through NullPool


asyncio.run(main())
