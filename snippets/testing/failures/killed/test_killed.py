"""Pre-ping hides that an idle connection was ended.

空闲连接被断开，有了预检，请求照常成功。
"""

from collections.abc import Awaitable, Callable

from shop import price


async def test_restart(kill: Callable[[], Awaitable[int]]) -> None:
    assert await price() == 7
    assert await kill() == 1
    assert await price() == 7


#> 1 passed
