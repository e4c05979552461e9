"""The endpoint works on the connection of the test.

接口用的就是测试的那个连接。
"""

from httpx import AsyncClient
from sqlalchemy import text
from sqlalchemy.ext.asyncio import AsyncConnection


async def test_backend(
    client: AsyncClient, connection: AsyncConnection
) -> None:
    of_the_test = await connection.scalar(text("SELECT pg_backend_pid()"))
    assert (await client.get("/")).json() == of_the_test


#> 1 passed
