"""A password that expires fails with the next connection, not the open one.

密码过期，已经打开的连接照常用，新建连接才失败。
"""

import asyncio
import os
from secrets import token_hex
from typing import Any

from sqlalchemy import make_url, text
from sqlalchemy.ext.asyncio import create_async_engine

URL = make_url(os.environ["DATABASE_URL"])
role, valid = f"guide_guest_{token_hex(4)}", [token_hex(16)]
MAY_I = "rolsuper OR rolcreaterole, now() + '5 minutes' FROM pg_roles"


async def newest() -> str:
    """Here your program would ask the cloud for a new token."""
    return valid[-1]


async def two_guests(owner: Any, **options: Any) -> None:
    guest = URL.set(username=role, password=valid[-1])
    engine = create_async_engine(guest, **options)
    async with engine.connect() as early:
        valid.append(token_hex(16))
        change = f"ALTER ROLE {role} PASSWORD '{valid[-1]}'"
        await owner.execute(text(change))
        try:
            async with engine.connect():
                said = "connected"
        except Exception as error:  # asyncpg's own; DBAPIError since 2.1
            said = str(getattr(error, "orig", error)).replace(role, "guest")
        served = await early.scalar(text("SELECT 'still served'"))
    print(f"open before: {served}; new: {said}")
    #> open before: still served; new: password authentication failed for user "guest"
    #> open before: still served; new: connected
    await engine.dispose()


async def main() -> None:
    owner = create_async_engine(URL, isolation_level="AUTOCOMMIT")
    async with owner.connect() as me:
        answer = await me.execute(text(f"SELECT {MAY_I} WHERE rolname = user"))
        may, until = answer.one()
        if not may:
            raise SystemExit("This needs a role with CREATEROLE.")
        login = f"LOGIN PASSWORD '{valid[-1]}' VALID UNTIL '{until}'"
        await me.execute(text(f"CREATE ROLE {role} {login}"))
        try:
            await two_guests(me)
            await two_guests(me, connect_args={"password": newest})
        finally:
            await me.execute(text(f"DROP ROLE {role}"))
    await owner.dispose()


asyncio.run(main())
