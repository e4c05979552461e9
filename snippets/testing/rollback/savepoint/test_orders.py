"""The endpoint commits and rolls back, and the next test finds an empty table.

接口照常提交和回滚，下一个测试看到的仍是空表。
"""

from sqlalchemy import func, select
from sqlalchemy.ext.asyncio import AsyncSession

from shop import Order, order, order_sold_out

COUNT = select(func.count()).select_from(Order)


async def test_order_is_kept_after_commit(session: AsyncSession) -> None:
    await order(session, "longjing")
    await order_sold_out(session, "oolong")
    assert await session.scalar(COUNT) == 1


async def test_next_test_finds_nothing(session: AsyncSession) -> None:
    assert await session.scalar(COUNT) == 0


#> 2 passed
