"""Wherever the line is cut before the COMMIT, one order is placed by a retry.

COMMIT 发出之前，无论在哪里断线，重试之后都恰好有一张订单。
"""

import pytest
from sqlalchemy import func, select

from line import Line
from shop import Order, async_session, order, order_again

COUNT = select(func.count()).select_from(Order)
MOMENTS = {
    "before": (b"BEGIN", False),
    "in the middle": (b"INSERT", True),
    "after": (b"COMMIT", False),
}


@pytest.mark.parametrize("moment", MOMENTS)
async def test_retried(line: Line, moment: str) -> None:
    line.word, line.loses_answer = MOMENTS[moment]
    await order_again("longjing")
    assert line.cuts == 1
    async with async_session() as session:
        assert await session.scalar(COUNT) == 1


@pytest.mark.parametrize("moment", MOMENTS)
async def test_not_retried(line: Line, moment: str) -> None:
    line.word, line.loses_answer = MOMENTS[moment]
    await order("longjing")


#> FAILED test_cut.py::test_not_retried[before] - sqlalchemy.exc.DBAPIError: (sqlalchemy.dialects.postgresql.asyncpg.Error) connection was closed in the middle of operation
#> FAILED test_cut.py::test_not_retried[in the middle] - sqlalchemy.exc.DBAPIError: (sqlalchemy.dialects.postgresql.asyncpg.Error) connection was closed in the middle of operation
#> FAILED test_cut.py::test_not_retried[after] - sqlalchemy.exc.DBAPIError: (sqlalchemy.dialects.postgresql.asyncpg.Error) connection was closed in the middle of operation
#> 3 failed, 3 passed
