"""All cells of a notebook share one loop; run the engine's cell once.

notebook 的所有单元格共用一个循环；建引擎的单元格只跑一次。
"""

import ast
import asyncio
import inspect
import os
from secrets import token_hex
from types import FunctionType
from typing import Any

from sqlalchemy import NullPool, text
from sqlalchemy.ext.asyncio import AsyncEngine, create_async_engine

URL = os.environ["DATABASE_URL"]
NAME = f"teahouse_{token_hex(4)}"
OURS = f"WHERE application_name = '{NAME}'"
BACKENDS = text(f"SELECT count(*) FROM pg_stat_activity {OURS}")
SETTINGS = {"server_settings": {"application_name": NAME}}
MAKE = "engine = create_async_engine(URL, connect_args=SETTINGS)"
ORDER = "drink = await order(engine)"
DISPOSE = "await engine.dispose()"


async def order(engine: AsyncEngine) -> str:
    async with engine.connect() as connection:
        return str(await connection.scalar(text("SELECT 'oolong'")))


variables: dict[str, Any] = dict(globals())


async def run_cell(source: str) -> None:
    flags = ast.PyCF_ALLOW_TOP_LEVEL_AWAIT  # as IPython compiles a cell
    code = compile(source, "cell", "exec", flags)
    result = FunctionType(code, variables)()
    if inspect.isawaitable(result):
        await result


async def backends() -> int:
    watcher = create_async_engine(URL, poolclass=NullPool)
    async with watcher.connect() as connection:
        return int(await connection.scalar(BACKENDS) or 0)


async def main() -> None:
    first: Any = None
    for cell in (MAKE, ORDER, ORDER, MAKE, ORDER, DISPOSE):
        await run_cell(cell)
        first = first or variables["engine"]  # as a traceback may keep it
        print(f"{cell.split('(')[0]:30}", await backends(), "connections")
        #> engine = create_async_engine   0 connections
        #> drink = await order            1 connections
        #> drink = await order            1 connections
        #> engine = create_async_engine   1 connections
        #> drink = await order            2 connections
        #> await engine.dispose           1 connections
    await first.dispose()


asyncio.run(main())
