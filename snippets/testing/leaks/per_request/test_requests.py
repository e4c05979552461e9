"""Each request may hold one connection at a time, and borrow once.

每个请求同一时刻只能占一个连接，而且只能借一次。
"""

from httpx import AsyncClient


async def test_price(client: AsyncClient) -> None:
    assert (await client.get("/price")).json() == 7


async def test_nested(client: AsyncClient) -> None:
    assert (await client.get("/nested")).json() == 7


async def test_in_turn(client: AsyncClient) -> None:
    assert (await client.get("/in_turn")).json() == 7


#> FAILED test_requests.py::test_nested - AssertionError: /nested: Loans(now=0, at_once=2, in_all=2)
#> FAILED test_requests.py::test_in_turn - AssertionError: /in_turn: Loans(now=0, at_once=1, in_all=2)
#> 2 failed, 1 passed
