"""Litestar commits in its endpoint, and the next test finds no order.

Litestar 的接口照常提交，下一个测试看不到订单。
"""

from httpx import AsyncClient


async def test_order_is_kept_after_commit(client: AsyncClient) -> None:
    await client.post("/orders", params={"tea": "longjing"})
    await client.post("/orders", params={"tea": "oolong"})
    assert (await client.get("/orders")).json() == 2


async def test_next_test_finds_none(client: AsyncClient) -> None:
    assert (await client.get("/orders")).json() == 0


#> 2 passed
