"""OpenTelemetry: counts are asked of the pool, loans are timed by its events.

OpenTelemetry：数目去问连接池，借了多久靠事件计时。
"""

import asyncio
import os
from time import perf_counter

from opentelemetry.metrics import CallbackOptions, Observation
from opentelemetry.sdk.metrics import MeterProvider
from opentelemetry.sdk.metrics.export import InMemoryMetricReader
from sqlalchemy import event
from sqlalchemy.ext.asyncio import create_async_engine
from sqlalchemy.pool import ConnectionPoolEntry, QueuePool

NAME, SECONDS = "db.client.connection", [0.001, 0.01, 0.1, 1, 10, 60]
POOL, STATE = {f"{NAME}.pool.name": "orders"}, f"{NAME}.state"
engine = create_async_engine(os.environ["DATABASE_URL"])
reader = InMemoryMetricReader()  # an exporter's reader, in an application
meter = MeterProvider([reader]).get_meter("teahouse")
observe = meter.create_observable_up_down_counter
use_time = meter.create_histogram(
    f"{NAME}.use_time", "s", explicit_bucket_boundaries_advisory=SECONDS
)


def count(_: CallbackOptions) -> list[Observation]:
    pool = engine.pool  # dispose() puts another in its place
    assert isinstance(pool, QueuePool)
    states = {"used": pool.checkedout(), "idle": pool.checkedin()}
    return [Observation(states[s], {**POOL, STATE: s}) for s in states]


@event.listens_for(engine.sync_engine, "checkout")
def borrow(_: object, entry: ConnectionPoolEntry, proxy: object) -> None:
    entry.info["since"] = perf_counter()


@event.listens_for(engine.sync_engine, "checkin")
def give_back(_: object, entry: ConnectionPoolEntry) -> None:
    if since := entry.info.pop("since", None):
        use_time.record(perf_counter() - since, POOL)


async def main() -> None:
    observe(f"{NAME}.count", [count], "{connection}")
    observe(f"{NAME}.max", [lambda _: [Observation(15, POOL)]], "{connection}")
    async with engine.connect():
        await (await engine.connect()).close()
        data = reader.get_metrics_data()
    assert data
    for metric in data.resource_metrics[0].scope_metrics[0].metrics:
        for one in metric.data.data_points:
            state = (one.attributes or {}).get(STATE, "")
            print(metric.name, state, getattr(one, "value", "(a histogram)"))
            #> db.client.connection.use_time  (a histogram)
            #> db.client.connection.count used 1
            #> db.client.connection.count idle 1
            #> db.client.connection.max  15
    await engine.dispose()


asyncio.run(main())
