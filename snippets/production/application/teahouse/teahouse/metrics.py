"""A pool that counts for Prometheus: lent, idle, waiting, timeouts.

给 Prometheus 计数的连接池：借出、空闲、排队、超时。
"""

from typing import Any

from prometheus_client import Counter, Gauge, Histogram
from sqlalchemy import exc
from sqlalchemy.pool import AsyncAdaptedQueuePool, PoolProxiedConnection

NAME = "db_client_connection_"
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
