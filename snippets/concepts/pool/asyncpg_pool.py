"""What SQLAlchemy's pool keeps does not go back to a pool of asyncpg under it.

SQLAlchemy 的池留下的连接，不会还给底下 asyncpg 的池。
"""

import asyncio
import os

import asyncpg  # type: ignore[import-untyped]
from sqlalchemy import text
from sqlalchemy.ext.asyncio import create_async_engine

URL = os.environ["DATABASE_URL"]
DSN = URL.replace("+asyncpg", "").replace("ssl=", "sslmode=")


async def main() -> None:
    inner = await asyncpg.create_pool(DSN, min_size=1, max_size=2)
    engine = create_async_engine(
        "postgresql+asyncpg://", async_creator=inner.acquire
    )
    async with engine.connect() as one, engine.connect() as another:
        await one.execute(text("SELECT 'longjing'"))
        await another.execute(text("SELECT 'oolong'"))
    print("SQLAlchemy:", engine.pool.status())
    #> SQLAlchemy: Pool size: 5  Connections in pool: 2 Current Overflow: -3 Current Checked out connections: 0
    print("asyncpg: open", inner.get_size(), "idle", inner.get_idle_size())
    #> asyncpg: open 2 idle 0
    await engine.dispose()
    await inner.close()


asyncio.run(main())
