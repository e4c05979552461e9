"""At the end of the block, TestClient cancels what the WebSocket still awaits.

离开 with 块时，WebSocket 正在等的调用会被 TestClient 取消。
"""

from fastapi.testclient import TestClient

from shop import app, engine, farewells


def test_committed_before_the_answer_its_connection_is_back() -> None:
    with TestClient(app) as client:
        with client.websocket_connect("/orders") as socket:
            socket.send_text("oolong")
            assert socket.receive_text() == "one oolong"
            assert engine.pool.checkedout() == 0
        assert engine.pool.checkedout() == 0
    assert farewells == ["cancelled"]


#> 1 passed, 1 warning
