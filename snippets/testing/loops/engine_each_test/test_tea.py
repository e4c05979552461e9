"""With the pool emptied at the end of each test, all three pass, a loop each.

每个测试结束时清空连接池，三个测试各用各的事件循环，都能通过。
"""

from shop import pour


async def test_first() -> None:
    assert await pour("longjing") == "longjing"


async def test_second() -> None:
    assert await pour("oolong") == "oolong"


async def test_third() -> None:
    assert await pour("pu-erh") == "pu-erh"


#> 3 passed
