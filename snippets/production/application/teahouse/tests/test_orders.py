"""Orders are kept, probes answer, and each test finds an empty table.

订单会保存，探针有响应，每个测试开始时表都是空的。
"""

import httpx


async def test_an_order_is_kept(client: httpx.AsyncClient) -> None:
    placed = await client.post("/orders", json={"tea": "longjing"})
    assert placed.status_code == 201
    found = await client.get(f"/orders/{placed.json()['id']}")
    assert found.json() == placed.json()


async def test_the_next_test_finds_none(client: httpx.AsyncClient) -> None:
    assert (await client.get("/orders/1")).status_code == 404


async def test_probes_answer(client: httpx.AsyncClient) -> None:
    assert (await client.get("/live")).json() == "alive"
    assert (await client.get("/ready")).json() == "ready"
    counters = (await client.get("/metrics")).text
    assert "db_client_connection_max" in counters


#> 3 passed
