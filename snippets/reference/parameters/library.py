"""A plugin named in the URL sets the pool of an engine that a library makes.

引擎由库来建，池的参数可以由 URL 里写明的插件来设。
"""

import asyncio
import os
from typing import Any

from sqlalchemy import URL, NullPool, make_url, text
from sqlalchemy.dialects import plugins
from sqlalchemy.engine import CreateEnginePlugin
from sqlalchemy.exc import DBAPIError
from sqlalchemy.ext.asyncio import AsyncEngine, create_async_engine
from sqlalchemy.pool import Pool

PLAIN = make_url(os.environ["DATABASE_URL"])
WITH_PLUGIN = PLAIN.update_query_dict({"plugin": "pool_settings"})
PID = text("SELECT pg_backend_pid()")
END = text("SELECT pg_terminate_backend(:pid, 10000)")
watcher = create_async_engine(PLAIN, poolclass=NullPool)


class PoolSettings(CreateEnginePlugin):
    def update_url(self, url: URL) -> URL:
        return url

    def handle_pool_kwargs(
        self, pool_cls: type[Pool], pool_args: dict[str, Any]
    ) -> None:
        pool_args.update(pre_ping=True, recycle=1800)


def made_by_the_library(url: str) -> AsyncEngine:
    return create_async_engine(url)


async def main() -> None:
    plugins.register("pool_settings", __name__, PoolSettings.__name__)
    for name, url in [("plain", PLAIN), ("with the plugin", WITH_PLUGIN)]:
        engine = made_by_the_library(url.render_as_string(hide_password=False))
        async with engine.connect() as connection:
            pid = await connection.scalar(PID)
        async with watcher.connect() as other:
            await other.execute(END, {"pid": pid})
        try:
            async with engine.connect() as connection:
                renewed = await connection.scalar(PID) != pid
                print(f"{name}: a new connection: {renewed}")
                #> with the plugin: a new connection: True
        except DBAPIError as error:
            #> plain: lost: True
            print(f"{name}: lost: {error.connection_invalidated}")
        await engine.dispose()


asyncio.run(main())
