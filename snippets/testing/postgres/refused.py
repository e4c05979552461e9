"""A template cannot be copied while a pool keeps an idle connection to it.

模板库上没有任何连接才能复制，连接池里空闲的那一个也算。
"""

import asyncio
import os
from secrets import token_hex

from sqlalchemy import NullPool, make_url, text
from sqlalchemy.exc import DBAPIError
from sqlalchemy.ext.asyncio import AsyncEngine, create_async_engine

URL = make_url(os.environ["DATABASE_URL"])
NAME = f"guide_template_{token_hex(4)}"
server = create_async_engine(
    URL, isolation_level="AUTOCOMMIT", poolclass=NullPool
)


async def administer(statement: str) -> str:
    async with server.connect() as connection:
        try:
            await connection.execute(text(statement))
        except DBAPIError as error:
            said = str(error.orig).splitlines()[0].split(": ")[-1]
            return said.replace(NAME, "template")
    return "done"


async def connect(engine: AsyncEngine) -> str:
    try:
        async with engine.connect():
            return "connected"
    except Exception as error:
        said = str(error).splitlines()[0].split(") ")[-1]
        return said.replace(NAME, "template")


async def main() -> None:
    if "permission denied" in await administer(f"CREATE DATABASE {NAME}"):
        raise SystemExit("this role may not create databases")
    migrations = create_async_engine(URL.set(database=NAME))
    copy = f"CREATE DATABASE {NAME}_copy TEMPLATE {NAME}"
    print(await connect(migrations))
    #> connected
    print("idle in the pool:", await administer(copy))
    #> idle in the pool: source database "template" is being accessed by other users
    await migrations.dispose()
    print("after dispose():", await administer(copy))
    #> after dispose(): done
    await administer(f"ALTER DATABASE {NAME} ALLOW_CONNECTIONS false")
    print(await connect(migrations))
    #> database "template" is not currently accepting connections
    for database in (f"{NAME}_copy", NAME):
        print(await administer(f"DROP DATABASE {database}"))
        #> done
        #> done


asyncio.run(main())
