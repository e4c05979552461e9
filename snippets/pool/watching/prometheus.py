"""A pool that keeps its own account for Prometheus, waiting and timeouts too.

自己给 Prometheus 记账的连接池，排队和超时都记。
"""

import asyncio
import os
import re
from contextlib import suppress
from typing import Any

from prometheus_client import Counter, Gauge, Histogram, generate_latest
from sqlalchemy import exc
from sqlalchemy.ext.asyncio import create_async_engine
from sqlalchemy.pool import AsyncAdaptedQueuePool, PoolProxiedConnection

NAME = "db_client_connection_"
COUNT = Gauge(f"{NAME}count", "Connections", [f"{NAME}state"])
LIMIT = Gauge(f"{NAME}max", "pool_size + max_overflow")
PENDING = Gauge(f"{NAME}pending_requests", "Tasks asking for a connection")
TIMEOUTS = Counter(f"{NAME}timeouts", "Tasks that got none")
WAIT = Histogram(f"{NAME}wait_time_seconds", "From asking to having it")


class WatchedPool(AsyncAdaptedQueuePool):
    def __init__(self, *args: Any, **options: Any) -> None:
        super().__init__(*args, **options)
        COUNT.labels("used").set_function(self.checkedout)
        COUNT.labels("idle").set_function(self.checkedin)

    @PENDING.track_inprogress()
    @TIMEOUTS.count_exceptions(exc.TimeoutError)
    @WAIT.time()
    def connect(self) -> PoolProxiedConnection:
        return super().connect()


engine = create_async_engine(
    os.environ["DATABASE_URL"],
    poolclass=WatchedPool,
    pool_size=1,
    max_overflow=0,
    pool_timeout=0,
)
LIMIT.set(1 + 0)


async def main() -> None:
    async with engine.connect():
        with suppress(exc.TimeoutError):
            await engine.connect()
        for line in generate_latest().decode().splitlines():
            if re.match(rf"{NAME}(?!.*_(bucket|sum|created))", line):
                print(line)
                #> db_client_connection_count{db_client_connection_state="used"} 1.0
                #> db_client_connection_count{db_client_connection_state="idle"} 0.0
                #> db_client_connection_max 1.0
                #> db_client_connection_pending_requests 0.0
                #> db_client_connection_timeouts_total 1.0
                #> db_client_connection_wait_time_seconds_count 2.0
    await engine.dispose()


asyncio.run(main())
