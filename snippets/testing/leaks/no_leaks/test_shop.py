"""All four pass, and two of them are errors for what they left out.

四个测试都通过，但其中两个因为没归还连接被判错误。
"""

import asyncio

from shop import order, price, price_forgotten


async def test_returned() -> None:
    assert await price() == 7


async def test_forgotten() -> None:
    assert await price_forgotten() == 7


async def test_paid() -> None:
    async def pay(_: int) -> None: ...

    await order(pay)


async def test_cancelled() -> None:
    async def hang_up(_: int) -> None:
        task.cancel()
        await asyncio.sleep(0)

    task = asyncio.create_task(order(hang_up))
    await asyncio.wait([task])
    assert task.cancelled()


#> ERROR test_shop.py::test_forgotten - Failed: not returned, borrowed at shop.py:23
#> ERROR test_shop.py::test_cancelled - Failed: not returned, borrowed at shop.py:28
#> 4 passed, 2 errors
