"""A SET in a connect event lasts for one checkout, unless it is made final.

connect 事件里的 SET 只管一次借出，除非让它真正生效。
"""

import asyncio
import os
from collections.abc import Callable
from typing import Any

from sqlalchemy import event, text
from sqlalchemy.ext.asyncio import AsyncSession, create_async_engine

SHOW = text("SELECT current_setting('statement_timeout')")
SET = "SET statement_timeout = '5s'"


def plain(connection: Any, _: object) -> None:
    connection.cursor().execute(SET)


def committed(connection: Any, _: object) -> None:
    connection.cursor().execute(SET)
    connection.commit()


def in_autocommit(connection: Any, _: object) -> None:
    connection.autocommit = True
    connection.cursor().execute(SET)
    connection.autocommit = False


def by_the_driver(connection: Any, _: object) -> None:
    connection.run_async(lambda driver: driver.execute(SET))


async def seen(listener: Callable[..., None] | None = None) -> list[str]:
    settings = {} if listener else {"statement_timeout": "5s"}
    engine = create_async_engine(
        os.environ["DATABASE_URL"], connect_args={"server_settings": settings}
    )
    if listener:
        event.listen(engine.sync_engine, "connect", listener)
    found = []
    for _ in range(4):
        async with AsyncSession(engine) as session:
            found.append(str(await session.scalar(SHOW)))
    await engine.dispose()
    return found


async def main() -> None:
    for listener in (plain, committed, in_autocommit, by_the_driver):
        print(f"{listener.__name__}:", *await seen(listener))
        #> plain: 5s 0 0 0
        #> committed: 5s 5s 5s 5s
        #> in_autocommit: 5s 5s 5s 5s
        #> by_the_driver: 5s 5s 5s 5s
    print("server_settings:", *await seen())
    #> server_settings: 5s 5s 5s 5s


asyncio.run(main())
