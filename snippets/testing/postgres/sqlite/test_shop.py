"""Tests of three mistakes pass on SQLite and fail on PostgreSQL.

三个错误的测试在 SQLite 上都通过，在 PostgreSQL 上都失败。
"""

import asyncio

from sqlalchemy.ext.asyncio import AsyncEngine

from shop import borrow_two, forget_to_close, read_before_commit


async def test_three_guests(engine: AsyncEngine) -> None:
    for _ in range(3):
        await forget_to_close(engine)


async def test_two_requests_at_once(engine: AsyncEngine) -> None:
    await asyncio.gather(borrow_two(engine), borrow_two(engine))


async def test_order_is_seen(engine: AsyncEngine) -> None:
    assert await read_before_commit(engine) == 1


#> FAILED test_shop.py::test_three_guests[postgresql] - sqlalchemy.exc.TimeoutError: QueuePool limit of size 2 overflow 0 reached, connection timed out, timeout 1.00 (Background on this error at: https://sqlalche.me/e/21/3o7r)
#> FAILED test_shop.py::test_two_requests_at_once[postgresql] - sqlalchemy.exc.TimeoutError: QueuePool limit of size 2 overflow 0 reached, connection timed out, timeout 1.00 (Background on this error at: https://sqlalche.me/e/21/3o7r)
#> FAILED test_shop.py::test_order_is_seen[postgresql] - assert 0 == 1
#> 3 failed, 3 passed
