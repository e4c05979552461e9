"""As a context manager the same generator commits, and hears of an exception.

同一个生成器包成上下文管理器，就会提交，也收得到异常。
"""

import asyncio
import os
from collections.abc import AsyncGenerator
from contextlib import aclosing, asynccontextmanager

from sqlalchemy import text
from sqlalchemy.ext.asyncio import (
    AsyncSession,
    async_sessionmaker,
    create_async_engine,
)

engine = create_async_engine(os.environ["DATABASE_URL"])
async_session = async_sessionmaker(engine)
happened: list[str] = []


async def get_session() -> AsyncGenerator[AsyncSession, None]:
    async with async_session() as session:
        try:
            yield session
            await session.commit()
            happened.append("committed")
        except BaseException as error:
            happened.append(f"rolled back: {type(error).__name__}")
            raise


async def closing() -> None:
    async with aclosing(get_session()) as sessions:
        async for session in sessions:
            await session.execute(text("SELECT 'pu-erh'"))
            return


async def managed(drink: str) -> None:
    async with asynccontextmanager(get_session)() as session:
        await session.execute(text("SELECT 'pu-erh'"))
        if drink == "oolong":
            raise LookupError("out of oolong")


async def main() -> None:
    await closing()
    print("aclosing, return:", happened.pop())
    #> aclosing, return: rolled back: GeneratorExit
    await managed("pu-erh")
    print("asynccontextmanager:", happened.pop())
    #> asynccontextmanager: committed
    try:
        await managed("oolong")
    except LookupError as error:
        print(f"asynccontextmanager, {error}:", happened.pop())
        #> asynccontextmanager, out of oolong: rolled back: LookupError
    await engine.dispose()


asyncio.run(main())
