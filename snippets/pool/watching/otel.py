"""OpenTelemetry: counts are asked of each pool, loans are timed by its events.

OpenTelemetry：数目去问各个连接池，借了多久靠事件计时。
"""

import asyncio
import os
from time import perf_counter
from typing import Any

from opentelemetry.metrics import CallbackOptions, Observation
from opentelemetry.sdk.metrics import MeterProvider
from opentelemetry.sdk.metrics.export import InMemoryMetricReader
from sqlalchemy import event
from sqlalchemy.ext.asyncio import AsyncEngine, create_async_engine

URL, NAME = os.environ["DATABASE_URL"], "db.client.connection"
POOL, STATE = f"{NAME}.pool.name", f"{NAME}.state"
SECONDS = [0.001, 0.01, 0.1, 1, 10, 60]
engines = {name: create_async_engine(URL) for name in ("orders", "reports")}
reader = InMemoryMetricReader()  # an exporter's reader, in an application
meter = MeterProvider([reader]).get_meter("teahouse")
use_time = meter.create_histogram(
    f"{NAME}.use_time", "s", explicit_bucket_boundaries_advisory=SECONDS
)


def count(_: CallbackOptions) -> Any:
    for name, engine in engines.items():
        pool: Any = engine.pool  # dispose() puts another in its place
        yield Observation(pool.checkedout(), {POOL: name, STATE: "used"})
        yield Observation(pool.checkedin(), {POOL: name, STATE: "idle"})


def time_loans(name: str, engine: AsyncEngine) -> None:
    @event.listens_for(engine.sync_engine, "checkout")
    def borrow(_: object, entry: Any, proxy: object) -> None:
        entry.info["since"] = perf_counter()

    @event.listens_for(engine.sync_engine, "checkin")
    def give_back(_: object, entry: Any) -> None:
        if since := entry.info.pop("since", None):
            use_time.record(perf_counter() - since, {POOL: name})


async def main() -> None:
    meter.create_observable_up_down_counter(f"{NAME}.count", [count])
    for name, engine in engines.items():
        time_loans(name, engine)
        async with engine.connect():
            data: Any = reader.get_metrics_data()
        await engine.dispose()
    for m in data.resource_metrics[0].scope_metrics[0].metrics:
        for one in m.data.data_points:
            print(
                m.name, *one.attributes.values(), getattr(one, "value", "...")
            )
            #> db.client.connection.count orders used 0
            #> db.client.connection.count orders idle 0
            #> db.client.connection.count reports used 1
            #> db.client.connection.count reports idle 0
            #> db.client.connection.use_time orders ...


asyncio.run(main())
