"""Two processes use the same names, and PgBouncer gives both one connection.

两个进程用同样的名字，PgBouncer 又让它们用同一个连接。
"""

import asyncio
import os
import subprocess
import sys

from sqlalchemy import text
from sqlalchemy.exc import DBAPIError
from sqlalchemy.ext.asyncio import create_async_engine

URL = os.environ["DATABASE_URL"]
CURE = {"statement_cache_size": 0, "prepared_statement_cache_size": 0}


async def guest(connect_args: dict[str, int]) -> None:
    engine = create_async_engine(URL, connect_args=connect_args)
    try:
        async with engine.connect() as connection:
            said = await connection.scalar(text("SELECT 'longjing'"))
    except DBAPIError as error:
        said = str(error.orig).partition("\n")[0]
    sys.stdout.write(said)
    await engine.dispose()


def run_one_after_the_other(settings: str) -> None:
    command = [sys.executable, __file__, "guest", settings]
    for _ in range(2):
        process = subprocess.run(command, stdout=subprocess.PIPE, check=True)
        print(settings, "-", process.stdout.decode().strip())
        #> defaults - longjing
        #> defaults - prepared statement "__asyncpg_stmt_1__" already exists
        #> cure - longjing
        #> cure - longjing


if "guest" in sys.argv:
    asyncio.run(guest(CURE if "cure" in sys.argv else {}))
else:
    run_one_after_the_other("defaults")
    run_one_after_the_other("cure")
