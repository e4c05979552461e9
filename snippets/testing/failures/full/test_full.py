"""A full pool is answered with 503 and Retry-After, and nothing stays broken.

连接池满了就返回 503 和 Retry-After，之后一切照常。
"""

from contextlib import AsyncExitStack

from httpx import AsyncClient


async def test_healthy(client: AsyncClient) -> None:
    assert (await client.get("/price")).json() == 7


async def test_full(client: AsyncClient, full_pool: AsyncExitStack) -> None:
    refused = await client.get("/price")
    assert (refused.status_code, refused.headers["Retry-After"]) == (503, "1")
    await full_pool.aclose()
    assert (await client.get("/price")).status_code == 200


#> 2 passed
