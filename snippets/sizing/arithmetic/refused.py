"""A pool makes its borrowers wait; the server's limit refuses them at once.

连接池全借出去了是排队，服务端的名额用完了是当场拒绝。
"""

import asyncio
import os
from collections.abc import AsyncIterator
from contextlib import AsyncExitStack, asynccontextmanager
from secrets import token_hex
from typing import Any

from sqlalchemy import URL, make_url, text
from sqlalchemy.exc import ProgrammingError
from sqlalchemy.ext.asyncio import create_async_engine
from sqlalchemy.pool import NullPool

MINE = make_url(os.environ["DATABASE_URL"])
owner = create_async_engine(MINE, poolclass=NullPool)


@asynccontextmanager
async def role_with_four_slots() -> AsyncIterator[URL]:
    name, password = f"guide_guest_{token_hex(4)}", token_hex(16)
    async with owner.begin() as connection:
        until = await connection.scalar(text("SELECT now() + '5 minutes'"))
        login = f"LOGIN PASSWORD '{password}' VALID UNTIL '{until}'"
        role = text(f"CREATE ROLE {name} {login} CONNECTION LIMIT 4")
        try:
            await connection.execute(role)
        except ProgrammingError:
            raise SystemExit("This needs a role with CREATEROLE.") from None
    try:
        yield MINE.set(username=name, password=password)
    finally:
        async with owner.begin() as connection:
            await connection.execute(text(f"DROP ROLE {name}"))


async def main() -> None:
    async with role_with_four_slots() as url, AsyncExitStack() as lent:
        engine = create_async_engine(url, pool_size=5, max_overflow=10)
        for guest in range(1, 12 + 1):
            try:
                await lent.enter_async_context(engine.connect())
            except Exception as error:  # asyncpg's own; DBAPIError since 2.1
                refusal: Any = getattr(error, "orig", error)
                message = str(refusal).replace(str(url.username), "guest")
                print(f"5 + 10, guest {guest}:", refusal.sqlstate, message)
                #> 5 + 10, guest 5: 53300 too many connections for role "guest"
                break
        await lent.aclose()
        await engine.dispose()

    async with role_with_four_slots() as url:
        engine = create_async_engine(url, pool_size=4, max_overflow=0)

        async def serve() -> object:
            async with engine.connect() as connection:
                return await connection.scalar(text("SELECT 'longjing'"))

        served = await asyncio.gather(*(serve() for _ in range(12)))
        print("4 + 0, guests served:", len(served))
        #> 4 + 0, guests served: 12
        await engine.dispose()


asyncio.run(main())
