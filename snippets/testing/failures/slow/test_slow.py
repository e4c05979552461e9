"""Slower than the limit is 503; fast again, it works again.

慢得超过时限就返回 503；网络恢复之后一切照常。
"""

from httpx import AsyncClient

from line import Line


async def test_slow(client: AsyncClient, line: Line) -> None:
    assert (await client.get("/price")).json() == 7
    line.delay = 5
    refused = await client.get("/price")
    assert (refused.status_code, refused.headers["Retry-After"]) == (503, "1")
    line.delay = 0
    assert (await client.get("/price")).json() == 7


#> 1 passed
