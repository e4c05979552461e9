"""When the answer to COMMIT is lost, a plain retry places the order twice.

COMMIT 的响应丢了，直接重试就会下两次单。
"""

from sqlalchemy import func, select

from line import Line
from shop import Order, async_session, order

COUNT = select(func.count()).select_from(Order)


async def test_with_a_key(line: Line) -> None:
    line.word, line.loses_answer = b"COMMIT", True
    await order("longjing", key="guest 7, order 1")
    assert line.cuts == 1
    async with async_session() as session:
        assert await session.scalar(COUNT) == 1


async def test_without(line: Line) -> None:
    line.word, line.loses_answer = b"COMMIT", True
    await order("longjing")
    assert line.cuts == 1
    async with async_session() as session:
        assert await session.scalar(COUNT) == 1


#> FAILED test_commit.py::test_without - assert 2 == 1
#> 1 failed, 1 passed
