"""The first async test passes; the second meets a connection of a closed loop.

第一个异步测试通过，第二个拿到的连接属于一个已经关闭的事件循环。
"""

from shop import pour


async def test_first() -> None:
    assert await pour("longjing") == "longjing"


async def test_second() -> None:
    assert await pour("oolong") == "oolong"


async def test_third() -> None:
    assert await pour("pu-erh") == "pu-erh"


#> FAILED test_tea.py::test_second - RuntimeError: Task <Task pending name='Task-…' coro=<test_second() running at test_tea.py:14> cb=[_run_until_complete_cb() at base_events.py:…]> got Future <Future pending cb=[BaseProtocol._on_waiter_completed()]> attached to a different loop
#> FAILED test_tea.py::test_third - sqlalchemy.exc.InterfaceError: (sqlalchemy.dialects.postgresql.asyncpg.InterfaceError) cannot perform operation: another operation is in progress
#> 2 failed, 1 passed
