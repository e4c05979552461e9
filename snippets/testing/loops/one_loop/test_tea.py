"""With one loop for all tests, all three pass with the pool of the application.

所有测试共用一个事件循环，三个测试用应用自己的连接池都能通过。
"""

from shop import pour


async def test_first() -> None:
    assert await pour("longjing") == "longjing"


async def test_second() -> None:
    assert await pour("oolong") == "oolong"


async def test_third() -> None:
    assert await pour("pu-erh") == "pu-erh"


#> 3 passed
