"""With a pool of one, code that needs two connections at once fails at once.

连接池只有一个连接，同时要用两个的代码立刻报错。
"""

from shop import order, order_nested


async def test_order() -> None:
    await order("longjing")


async def test_nested() -> None:
    await order_nested("oolong")
