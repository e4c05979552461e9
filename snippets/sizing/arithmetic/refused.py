"""A pool makes its borrowers wait; the server's limit refuses them at once.

连接池全借出去了是排队，服务端的名额用完了是当场拒绝。
"""

import asyncio
import os
from contextlib import AsyncExitStack
from secrets import token_hex

from sqlalchemy import make_url, text
from sqlalchemy.ext.asyncio import AsyncEngine, create_async_engine
from sqlalchemy.pool import NullPool

URL = make_url(os.environ["DATABASE_URL"])
mine = create_async_engine(URL, poolclass=NullPool)
autocommit = mine.execution_options(isolation_level="AUTOCOMMIT")
MAY_I = "rolsuper OR rolcreaterole, now() + '5 minutes' FROM pg_roles"


async def four_slots(stack: AsyncExitStack, **sizes: int) -> AsyncEngine:
    role, password = f"guide_guest_{token_hex(4)}", token_hex(16)
    me = await stack.enter_async_context(autocommit.connect())
    answer = await me.execute(text(f"SELECT {MAY_I} WHERE rolname = user"))
    may, until = answer.one()
    if not may:
        raise SystemExit("This needs a role with CREATEROLE.")
    stack.push_async_callback(me.execute, text(f"DROP ROLE IF EXISTS {role}"))
    login = f"LOGIN PASSWORD '{password}' VALID UNTIL '{until}'"
    await me.execute(text(f"CREATE ROLE {role} {login} CONNECTION LIMIT 4"))
    url = URL.set(username=role, password=password)
    engine = create_async_engine(url, **sizes)
    stack.push_async_callback(engine.dispose)
    return engine


async def main() -> None:
    async with AsyncExitStack() as stack:
        engine = await four_slots(stack, pool_size=5, max_overflow=10)
        lent = list[object]()
        try:
            for _ in range(12):
                lent.append(await stack.enter_async_context(engine.connect()))
        except Exception as error:  # asyncpg's own; DBAPIError since 2.1
            said = str(getattr(error, "orig", error))
            said = said.replace(str(engine.url.username), "guest")
            print(f"5 + 10, guest {len(lent) + 1}:", said)
            #> 5 + 10, guest 5: too many connections for role "guest"

    async with AsyncExitStack() as stack:
        engine = await four_slots(stack, pool_size=4, max_overflow=0)

        async def serve() -> object:
            async with engine.connect() as connection:
                return await connection.scalar(text("SELECT 'longjing'"))

        served = await asyncio.gather(*(serve() for _ in range(12)))
        print("4 + 0, guests served:", len(served))
        #> 4 + 0, guests served: 12


asyncio.run(main())
