"""Pre-ping finds a line that has ended; a silent one takes a limit.

预检能发现断开的连接；连接没有响应，要靠时限。
"""

from typing import Any

from sqlalchemy import text
from sqlalchemy.ext.asyncio import async_sessionmaker

PING: dict[str, Any] = {"pool_pre_ping": True}
LIMITS: dict[str, Any] = {"connect_args": {"timeout": 2, "command_timeout": 1}}
async_session = async_sessionmaker()


async def price() -> int:
    async with async_session() as session:
        return int(await session.scalar(text("SELECT 7")) or 0)
