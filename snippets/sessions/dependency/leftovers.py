"""Two options to drop: class_ is AsyncSession anyway, future can only be True.

两个不必再写的选项：class_ 默认就是 AsyncSession，future 只能是 True。
"""

import asyncio
import os

from sqlalchemy.exc import ArgumentError
from sqlalchemy.ext.asyncio import (
    AsyncSession,
    async_sessionmaker,
    create_async_engine,
)

URL = os.environ["DATABASE_URL"]


async def main() -> None:
    engine = create_async_engine(URL, future=True)
    with_both = async_sessionmaker(engine, class_=AsyncSession, future=True)
    without = async_sessionmaker(engine)
    print(type(with_both()) is type(without()) is AsyncSession)
    #> True

    try:
        create_async_engine(URL, future=False)
    except ArgumentError as error:
        print(error)
        #> The 'future' parameter passed to create_engine() may only be set to True.
    try:
        async_sessionmaker(engine, future=False)()
    except ArgumentError as error:
        print(error)
        #> The 'future' parameter passed to Session() may only be set to True.
    await engine.dispose()


asyncio.run(main())
