"""With a limit a silent line costs one error; with pre-ping alone it hangs.

设了时限，没有响应的连接只造成一次错误；只靠预检就一直卡住。
"""

import asyncio
from typing import Any

import pytest
from sqlalchemy.ext.asyncio import create_async_engine

from line import Line
from shop import LIMITS, PING, async_session, price


@pytest.mark.parametrize("options", [LIMITS, PING], ids=["limits", "ping"])
async def test_silence(line: Line, options: dict[str, Any]) -> None:
    engine = create_async_engine(line.url, **options)
    async_session.configure(bind=engine)
    assert await price() == 7
    line.swallow()
    async with asyncio.timeout(4):
        with pytest.raises(TimeoutError):  # the driver's
            await price()
    assert await price() == 7
    await engine.dispose()


#> FAILED test_hole.py::test_silence[ping] - TimeoutError
#> 1 failed, 1 passed
