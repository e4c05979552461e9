"""A pool that counts for Prometheus: lent, waiting and timeouts, by engine.

给 Prometheus 计数的连接池：借出、排队、超时，按引擎分开。
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

URL, NAME = os.environ["DATABASE_URL"], "db_client_connection_"
POOL = f"{NAME}pool_name"
COUNT = Gauge(f"{NAME}count", "Connections", [POOL, f"{NAME}state"])
LIMIT = Gauge(f"{NAME}max", "pool_size + max_overflow", [POOL])
PENDING = Gauge(f"{NAME}pending_requests", "Tasks asking for one", [POOL])
TIMEOUTS = Counter(f"{NAME}timeouts", "Timeouts of the pool", [POOL])
WAIT = Histogram(f"{NAME}wait_time_seconds", "From asking to having", [POOL])


class WatchedPool(AsyncAdaptedQueuePool):
    def __init__(self, *args: Any, **options: Any) -> None:
        super().__init__(*args, **options)
        name = options.get("logging_name") or "unnamed"
        COUNT.labels(name, "used").set_function(self.checkedout)
        COUNT.labels(name, "idle").set_function(self.checkedin)
        if self._max_overflow >= 0:  # else no limit
            LIMIT.labels(name).set(self.size() + self._max_overflow)
        self.pending, self.wait = PENDING.labels(name), WAIT.labels(name)
        self.timeouts = TIMEOUTS.labels(name).count_exceptions(exc.TimeoutError)

    def connect(self) -> PoolProxiedConnection:
        with self.pending.track_inprogress(), self.timeouts, self.wait.time():
            return super().connect()


shared: dict[str, Any] = {"poolclass": WatchedPool, "pool_timeout": 0}
one: dict[str, Any] = {"pool_size": 1, "max_overflow": 0}
orders = create_async_engine(URL, **shared, **one, pool_logging_name="orders")
reports = create_async_engine(URL, **shared, pool_logging_name="reports")


async def main() -> None:
    async with orders.connect():
        with suppress(exc.TimeoutError):
            await orders.connect()
        for line in generate_latest().decode().splitlines():
            if re.match(rf"{NAME}(?!.*_(bucket|sum|created))", line):
                print(line)
                #> db_client_connection_count{db_client_connection_pool_name="orders",db_client_connection_state="used"} 1.0
                #> db_client_connection_count{db_client_connection_pool_name="orders",db_client_connection_state="idle"} 0.0
                #> db_client_connection_count{db_client_connection_pool_name="reports",db_client_connection_state="used"} 0.0
                #> db_client_connection_count{db_client_connection_pool_name="reports",db_client_connection_state="idle"} 0.0
                #> db_client_connection_max{db_client_connection_pool_name="orders"} 1.0
                #> db_client_connection_max{db_client_connection_pool_name="reports"} 15.0
                #> db_client_connection_pending_requests{db_client_connection_pool_name="orders"} 0.0
                #> db_client_connection_pending_requests{db_client_connection_pool_name="reports"} 0.0
                #> db_client_connection_timeouts_total{db_client_connection_pool_name="orders"} 1.0
                #> db_client_connection_timeouts_total{db_client_connection_pool_name="reports"} 0.0
                #> db_client_connection_wait_time_seconds_count{db_client_connection_pool_name="orders"} 2.0
                #> db_client_connection_wait_time_seconds_count{db_client_connection_pool_name="reports"} 0.0
    await orders.dispose()
    await reports.dispose()


asyncio.run(main())
