"""What the page says of the recorded runs is what the record says."""

import json
from typing import Any

import pytest
from sqlalchemy import text
from sqlalchemy.ext.asyncio import AsyncEngine

from tests.pools import MakeEngine
from tests.report import require_on
from tools.measure.charts import MEASURED
from tools.postgres import Proxy

RECORD: dict[str, Any] = json.loads(MEASURED.read_text("utf-8"))
KINDS = ("waiting", "computing")


def by_size(kind: str, column: str) -> dict[int, float]:
    """A column of one of the sweeps."""
    return {row["pool_size"]: row[column] for row in RECORD[kind]}


def held(kind: str) -> dict[int, float]:
    """How long each query held its connection, on average."""
    wait, total = by_size(kind, "mean_wait_ms"), by_size(kind, "mean_ms")
    return {size: total[size] - wait[size] for size in total}


def borrowed(place: str) -> dict[str, float]:
    """How long a small query took, by where its connection came from."""
    return {row["way"]: row["median_ms"] for row in RECORD["borrowing"] if row["place"] == place}


def test_the_page_shows_what_was_run() -> None:
    for query in RECORD["queries"].values():
        require_on("sizing/measured", f"\n{query};\n")
    require_on("sizing/measured", f"\n{RECORD['tasks']} ")
    assert max(by_size("waiting", "rate")) == RECORD["tasks"]


@pytest.mark.parametrize("kind", KINDS)
def test_throughput_grows_levels_off_and_does_not_fall(kind: str) -> None:
    rate = by_size(kind, "rate")
    *_, before, largest = rate
    assert rate[largest] > 1.3 * rate[1]
    assert rate[largest] < 1.6 * rate[before], "doubling the pool no longer doubles it"
    assert rate[largest] > 0.7 * max(rate.values())


def test_queries_that_wait_gain_far_beyond_the_number_of_cores() -> None:
    rate = by_size("waiting", "rate")
    beyond = min(size for size in rate if size >= 2 * RECORD["cores"])
    assert rate[2 * beyond] > 1.3 * rate[beyond]
    assert rate[8] > 3 * rate[1]


def test_queries_that_compute_gain_little_beyond_twice_the_cores() -> None:
    rate = by_size("computing", "rate")
    assert max(rate.values()) < 1.6 * rate[2 * RECORD["cores"]]


@pytest.mark.parametrize("kind", KINDS)
def test_the_mean_latency_is_tasks_by_throughput(kind: str) -> None:
    rate, total = by_size(kind, "rate"), by_size(kind, "mean_ms")
    for size in (8, 16, 32, 64):
        assert total[size] == pytest.approx(1000 * RECORD["tasks"] / rate[size], rel=0.35)


def test_beyond_the_plateau_the_queue_moves_from_the_pool_to_the_server() -> None:
    total, held_for = by_size("computing", "mean_ms"), held("computing")
    assert 0.6 < total[64] / total[8] < 1.6, "columns of the same height"
    assert held_for[64] > 3 * held_for[8]
    assert by_size("computing", "wait_ms")[64] < 0.05 * by_size("computing", "wait_ms")[8]


def test_the_neighbor_pays() -> None:
    took = {row["pool_size"]: row["median_ms"] for row in RECORD["neighbor"]}
    assert took[64] > 2 * took[16] > 2 * took[2]


def test_near_the_database_a_new_connection_costs_and_a_ping_hardly() -> None:
    near = borrowed("near")
    assert near["new"] > 3 * near["pooled"]
    assert near["ping"] - near["pooled"] < 0.2 * near["new"]


def test_across_a_network_every_round_trip_counts() -> None:
    far, trip = borrowed("far"), RECORD["round_trip_ms"]
    assert 3 <= far["pooled"] / trip < 4.5
    assert 6 <= far["ping"] / trip < 8.5
    assert 1 <= far["autocommit"] / trip < 2
    assert far["new"] > far["ping"]


async def turns(proxy: Proxy, engine: AsyncEngine, statement: str) -> int:
    """How many round trips a transaction of this statement takes, from check-out to check-in."""
    proxy.turns.clear()
    async with engine.connect() as connection:
        await connection.execute(text(statement))
        await connection.commit()
    return proxy.turns.count("client")


@pytest.mark.parametrize(
    ("level", "trips", "pinged"),
    [("READ COMMITTED", 3, 6), ("AUTOCOMMIT", 1, 2)],
)
async def test_the_round_trips_of_a_transaction_and_of_a_ping_are_those_of_the_page(
    database_url: str, make_engine: MakeEngine, level: str, trips: int, pinged: int
) -> None:
    async with Proxy(database_url) as proxy:
        for ping, expected in ((False, trips), (True, pinged)):
            engine = make_engine(proxy.url, isolation_level=level, pool_pre_ping=ping)

            for _ in range(2):  # the first makes the connection, the second prepares the ping
                await turns(proxy, engine, "SELECT 'oolong'")
            assert await turns(proxy, engine, "SELECT 'oolong'") == expected
            assert await turns(proxy, engine, "SELECT 'longjing'") == expected + 1
            await engine.dispose()
