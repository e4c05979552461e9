"""With a pool of one, code that needs two connections at once fails at once.

连接池只有一个连接，同时要用两个的代码立刻报错。
"""

from shop import order, order_nested


async def test_order() -> None:
    await order("longjing")


async def test_nested() -> None:
    await order_nested("oolong")


#> FAILED test_orders.py::test_nested - sqlalchemy.exc.TimeoutError: QueuePool limit of size 1 overflow 0 reached, connection timed out, timeout 0.00 (Background on this error at: https://sqlalche.me/e/21/3o7r)
#> 1 failed, 1 passed
