"""Each test begins at order 1: its database is a new copy of the template.

每个测试都从 1 号订单开始：它的库是刚从模板拷贝的。
"""

import pytest
from sqlalchemy import text
from sqlalchemy.ext.asyncio import AsyncEngine

ORDER = text("INSERT INTO orders (tea) VALUES (:tea) RETURNING id")


@pytest.mark.parametrize("tea", ["longjing", "oolong"])
async def test_orders_begin_at_1(engine: AsyncEngine, tea: str) -> None:
    async with engine.begin() as connection:
        assert await connection.scalar(ORDER, {"tea": tea}) == 1


#> 2 passed
