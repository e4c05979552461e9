"""session.begin() comes first or not at all: any use of the session begins too.

session.begin() 要么写在最前面，要么不写：会话一用，事务就开始了。
"""

import asyncio
import os

from sqlalchemy import text
from sqlalchemy.exc import InvalidRequestError
from sqlalchemy.ext.asyncio import (
    AsyncSession,
    async_sessionmaker,
    create_async_engine,
)

engine = create_async_engine(os.environ["DATABASE_URL"])
async_session = async_sessionmaker(engine)
MENU = text("SELECT 'longjing'")


async def brew(session: AsyncSession) -> str:
    try:
        async with session.begin():
            return str(await session.scalar(MENU))
    except InvalidRequestError as error:
        return str(error)


async def main() -> None:
    async with async_session() as session:
        print("new session :", await brew(session))
        #> new session : longjing
        await session.execute(MENU)
        print("after SELECT:", await brew(session))
        #> after SELECT: A transaction is already begun on this Session.
        await session.commit()
        print("after commit:", await brew(session))
        #> after commit: longjing
    async with async_session.begin() as session:
        print("inside begin:", await brew(session))
        #> inside begin: A transaction is already begun on this Session.
    await engine.dispose()


asyncio.run(main())
