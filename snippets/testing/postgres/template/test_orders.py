"""Each test commits, from several tasks, and begins at order 1.

每个测试都真的提交，还用几个任务并行，开始时表都是空的，订单从 1 号编起。
"""

import asyncio

import pytest

from shop import place_order


@pytest.mark.parametrize("tea", ["longjing", "oolong", "pu-erh"])
async def test_orders_begin_at_1(tea: str) -> None:
    orders = await asyncio.gather(*[place_order(tea) for _ in range(4)])
    assert sorted(orders) == [1, 2, 3, 4]


async def test_orders_of_other_tests_are_not_here() -> None:
    assert await place_order("longjing") == 1


#> 4 passed
