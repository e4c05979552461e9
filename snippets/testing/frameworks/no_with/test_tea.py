"""Without `with`, each request has a loop of its own, and the second one fails.

TestClient 不写 with，每个请求一个事件循环，第二个请求就失败。
"""

from fastapi.testclient import TestClient

from shop import app

client = TestClient(app)


def test_first() -> None:
    assert client.get("/").json() == "longjing"


def test_second() -> None:
    assert client.get("/").json() == "longjing"


def test_third() -> None:
    assert client.get("/").json() == "longjing"


#> FAILED test_tea.py::test_second - RuntimeError: Task <Task pending name='anyio.from_thread.BlockingPortal._call_func' coro=<TaskHandle._run_coro() running at _tasks.py:…> cb=[TaskGroup._spawn.<locals>.task_done() at _asyncio.py:…]> got Future <Future pending cb=[BaseProtocol._on_waiter_completed()]> attached to a different loop
#> FAILED test_tea.py::test_third - sqlalchemy.exc.InterfaceError: (sqlalchemy.dialects.postgresql.asyncpg.InterfaceError) cannot perform operation: another operation is in progress
#> 2 failed, 1 passed, 1 warning
