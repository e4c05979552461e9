"""Pools and arguments that an async engine refuses, in its own words.

异步引擎拒绝的连接池和参数，看它自己怎么说。
"""

import os
from typing import Any

from sqlalchemy.exc import ArgumentError
from sqlalchemy.ext.asyncio import create_async_engine
from sqlalchemy.pool import (
    NullPool,
    QueuePool,
    SingletonThreadPool,
    StaticPool,
)

ATTEMPTS: list[dict[str, Any]] = [
    {"poolclass": QueuePool},
    {"poolclass": SingletonThreadPool},
    {"poolclass": NullPool, "pool_size": 5, "max_overflow": 10},
    {"poolclass": StaticPool, "pool_timeout": 3},
    {"poolclass": NullPool, "pool_pre_ping": True, "pool_recycle": 1800},
]

for options in ATTEMPTS:
    try:
        create_async_engine(os.environ["DATABASE_URL"], **options)
        said = "accepted, and without effect: " + ", ".join([*options][1:])
    except (ArgumentError, TypeError) as error:
        said = f"{type(error).__name__}: {error.args[0]}"
    print(said)
    #> ArgumentError: Pool class QueuePool cannot be used with asyncio engine
    #> ArgumentError: Pool class SingletonThreadPool cannot be used with asyncio engine
    #> TypeError: Invalid argument(s) 'pool_size','max_overflow' sent to create_engine(), using configuration PGDialect_asyncpg/NullPool/Engine.  Please check that the keyword arguments are appropriate for this combination of components.
    #> TypeError: Invalid argument(s) 'pool_timeout' sent to create_engine(), using configuration PGDialect_asyncpg/StaticPool/Engine.  Please check that the keyword arguments are appropriate for this combination of components.
    #> accepted, and without effect: pool_pre_ping, pool_recycle
