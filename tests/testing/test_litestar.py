"""What the page on testing Litestar and Starlette says beyond the outcomes of its projects."""

import asyncio
import threading
import warnings

from sqlalchemy import text
from sqlalchemy.ext.asyncio import AsyncSession, async_sessionmaker

from tests.pools import MakeEngine
from tests.serving import through

with warnings.catch_warnings(action="ignore"):  # it imports advanced-alchemy, written for 2.0
    from advanced_alchemy.extensions.litestar import SQLAlchemyAsyncConfig, SQLAlchemyPlugin
    from litestar import Litestar, get
    from litestar.di import NamedDependency
    from litestar.testing import AsyncTestClient
    from litestar.testing import TestClient as LitestarClient


def where() -> tuple[int, int]:
    """The thread and the event loop of the caller."""
    return threading.get_ident(), id(asyncio.get_running_loop())


async def test_litestars_async_client_runs_the_application_in_another_loop() -> None:
    seen = []

    @get("/")
    async def pour() -> None:
        seen.append(where())

    app = Litestar([pour])
    async with AsyncTestClient(app) as client:
        await client.get("/")
    async with through(app) as direct:
        await direct.get("/")
    in_test_client, in_transport = seen
    assert in_transport == where()
    assert in_test_client[0] != in_transport[0]
    assert in_test_client[1] != in_transport[1]


async def test_litestars_async_client_serves_one_request_after_the_other() -> None:
    inside, together = 0, [0]

    @get("/")
    async def pour() -> None:
        nonlocal inside
        inside += 1
        together.append(inside)
        for _ in range(100):  # time enough for another request to come in
            await asyncio.sleep(0)
        inside -= 1

    app = Litestar([pour])
    async with AsyncTestClient(app) as client:
        await asyncio.gather(client.get("/"), client.get("/"))
    assert max(together) == 1
    async with through(app) as direct:
        await asyncio.gather(direct.get("/"), direct.get("/"))
    assert max(together) == 2


async def test_litestar_answers_500_whichever_client_asks() -> None:
    @get("/")
    async def pour() -> None:
        raise RuntimeError("spilled")

    app = Litestar([pour])
    assert LitestarClient(app).get("/").status_code == 500
    async with AsyncTestClient(app) as client:
        assert (await client.get("/")).status_code == 500
    async with through(app) as direct:
        assert (await direct.get("/")).status_code == 500


async def test_the_plugin_takes_its_factory_from_the_state_which_startup_fills(
    make_engine: MakeEngine, database_url: str
) -> None:
    @get("/")
    async def name(db_session: NamedDependency[AsyncSession]) -> str:
        return str(await db_session.scalar(text("SELECT current_setting('application_name')")))

    config = SQLAlchemyAsyncConfig(connection_string=database_url)
    key = config.session_maker_app_state_key
    app = Litestar([name], plugins=[SQLAlchemyPlugin(config=config)], debug=True)
    assert key.startswith("session_maker_class")
    missing = f"KeyError: '{key}'"
    assert missing in LitestarClient(app).get("/").text
    async with through(app) as client:
        assert missing in (await client.get("/")).text
        ours = make_engine(connect_args={"server_settings": {"application_name": "ours"}})
        app.state[key] = async_sessionmaker(ours)
        assert (await client.get("/")).text == "ours"
