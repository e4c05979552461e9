"""An `@` in the password makes the rest of it a part of the host.

密码里有 `@`，后半截密码会被当成主机名的一部分。
"""

import asyncio
import os
from secrets import token_hex
from socket import gaierror

from sqlalchemy import URL, make_url, text
from sqlalchemy.ext.asyncio import create_async_engine
from sqlalchemy.pool import NullPool

URL_HERE = make_url(os.environ["DATABASE_URL"])
role, password = f"guide_guest_{token_hex(4)}", f"tea@{token_hex(16)}"
MAY_I = "rolsuper OR rolcreaterole, now() + '5 minutes' FROM pg_roles"


async def connect(url: URL) -> None:
    engine = create_async_engine(url, poolclass=NullPool)
    try:
        async with engine.connect() as connection:
            said = str(await connection.scalar(text("SELECT 'connected'")))
    except gaierror as error:
        host = str(url.host).replace(password.split("@")[1], "REST")
        host = host.replace(str(URL_HERE.host), "db.example")
        said = f"{type(error).__name__}: no host is called {host}"
    print(said)
    #> gaierror: no host is called REST@db.example
    #> connected


async def main() -> None:
    engine = create_async_engine(URL_HERE, isolation_level="AUTOCOMMIT")
    async with engine.connect() as me:
        answer = await me.execute(text(f"SELECT {MAY_I} WHERE rolname = user"))
        may, until = answer.one()
        if not may:
            raise SystemExit("This needs a role with CREATEROLE.")
        login = f"LOGIN PASSWORD '{password}' VALID UNTIL '{until}'"
        await me.execute(text(f"CREATE ROLE {role} {login}"))
        try:
            right = URL_HERE.set(username=role, password=password)
            encoded = right.render_as_string(hide_password=False)
            await connect(make_url(encoded.replace("%40", "@")))
            await connect(make_url(encoded))
        finally:
            await me.execute(text(f"DROP ROLE {role}"))
    await engine.dispose()


asyncio.run(main())
