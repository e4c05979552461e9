"""With autoflush=False a query does not see what you have just added.

autoflush=False 时，查不到刚刚 add() 的对象。
"""

import asyncio
import os
from secrets import token_hex

from sqlalchemy import func, select
from sqlalchemy.ext.asyncio import async_sessionmaker, create_async_engine
from sqlalchemy.orm import DeclarativeBase, Mapped, mapped_column


class Base(DeclarativeBase):
    pass


class Order(Base):
    __tablename__ = f"guide_orders_{token_hex(4)}"
    id: Mapped[int] = mapped_column(primary_key=True)
    drink: Mapped[str]


engine = create_async_engine(os.environ["DATABASE_URL"])
COUNT = select(func.count(Order.id))


async def main() -> None:
    async with engine.begin() as connection:
        await connection.run_sync(Base.metadata.create_all)
    for autoflush in (True, False):
        async with async_sessionmaker(engine, autoflush=autoflush)() as session:
            session.add(Order(drink="longjing"))
            found = await session.scalar(COUNT)
            print(f"autoflush={autoflush}: added 1, found {found}")
            #> autoflush=True: added 1, found 1
            #> autoflush=False: added 1, found 0
    async with engine.begin() as connection:
        await connection.run_sync(Base.metadata.drop_all)
    await engine.dispose()


asyncio.run(main())
