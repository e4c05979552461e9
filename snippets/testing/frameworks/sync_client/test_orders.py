"""The same tests without async: the transaction is opened in the client's loop.

同样的测试不用 async：事务开在客户端自己的事件循环里。
"""

from fastapi.testclient import TestClient


def test_order_is_kept_after_commit(client: TestClient) -> None:
    client.post("/orders", params={"tea": "longjing"})
    client.post("/orders", params={"tea": "oolong"})
    assert client.get("/orders").json() == 2


def test_next_test_finds_none(client: TestClient) -> None:
    assert client.get("/orders").json() == 0


#> 2 passed, 1 warning
