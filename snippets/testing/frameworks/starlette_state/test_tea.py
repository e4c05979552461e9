"""The endpoint works on the connection of the test.

接口用的就是测试的那个连接。
"""

from httpx import AsyncClient
from sqlalchemy import text
from sqlalchemy.ext.asyncio import AsyncConnection


async def test_endpoint(client: AsyncClient) -> None:
    assert (await client.get("/")).json() == "longjing"


#> 1 passed
