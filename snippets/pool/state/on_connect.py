"""A SET in a connect event is lost if the first session rolls back.

connect 事件里的 SET，第一个会话回滚就没了。
"""

import asyncio
import os
from typing import Any

from sqlalchemy import event, text
from sqlalchemy.ext.asyncio import AsyncSession, create_async_engine

URL = os.environ["DATABASE_URL"]
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


async def seen(listener: Any = None, commit: bool = False) -> list[str]:
    given = {"server_settings": {} if listener else {"statement_timeout": "5s"}}
    engine = create_async_engine(URL, connect_args=given)
    if listener:
        event.listen(engine.sync_engine, "connect", listener)
    found = []
    for number in range(4):
        async with AsyncSession(engine) as session:
            found.append(str(await session.scalar(SHOW)))
            if commit and number == 0:
                await session.commit()
    await engine.dispose()
    return found


async def main() -> None:
    print("plain:", *await seen(plain))
    #> plain: 5s 0 0 0
    print("plain, first session commits:", *await seen(plain, True))
    #> plain, first session commits: 5s 5s 5s 5s
    for listener in (committed, in_autocommit, by_the_driver):
        print(f"{listener.__name__}:", *await seen(listener))
        #> committed: 5s 5s 5s 5s
        #> in_autocommit: 5s 5s 5s 5s
        #> by_the_driver: 5s 5s 5s 5s
    print("server_settings:", *await seen())
    #> server_settings: 5s 5s 5s 5s


asyncio.run(main())
