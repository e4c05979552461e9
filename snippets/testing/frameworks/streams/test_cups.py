"""TestClient reads while the stream goes on, ASGITransport waits for its end.

TestClient 边流边读，ASGITransport 等整个流结束才给响应。
"""

from fastapi.testclient import TestClient
from httpx import ASGITransport, AsyncClient

from shop import app, engine, lifespan


def test_while_the_stream_is_read_its_connection_is_out() -> None:
    with TestClient(app) as client:
        with client.stream("GET", "/cups/1000000") as response:
            lines = response.iter_lines()
            assert next(lines) == "cup 0"
            assert engine.pool.checkedout() == 1
        assert engine.pool.checkedout() == 0


async def test_the_whole_stream_comes_first_with_asgi_transport() -> None:
    transport = ASGITransport(app)
    async with (
        lifespan(app),
        AsyncClient(transport=transport, base_url="http://shop") as client,
        client.stream("GET", "/cups/3") as response,
    ):
        assert engine.pool.checkedout() == 0
        assert [line async for line in response.aiter_lines()] == [
            "cup 0",
            "cup 1",
            "cup 2",
        ]


#> 2 passed, 1 warning
