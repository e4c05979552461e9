"""The second test fails before its close(), and the third finds new tables.

第二个测试没走到 close() 就失败了，第三个测试照样拿到新建的表。
"""

from sqlalchemy.ext.asyncio import AsyncSession

from shop import engine, order


async def test_closed() -> None:
    async with AsyncSession(engine) as session:
        assert (await order(session, "longjing")).tea == "longjing"


async def test_not_closed() -> None:
    session = AsyncSession(engine)
    assert (await order(session, "oolong")).tea == "longjing"
    await session.close()


async def test_next() -> None:
    async with AsyncSession(engine) as session:
        assert (await order(session, "pu-erh")).id == 1


#> FAILED test_shop.py::test_not_closed - AssertionError: assert 'oolong' == 'longjing'
#> ERROR test_shop.py::test_not_closed - Failed: left open after INSERT INTO orders (tea) VALUES ($1::VARCHAR) RETURNING orders.id
#> 1 failed, 2 passed, 1 error
