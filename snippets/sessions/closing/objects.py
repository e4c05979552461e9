"""After close() an object keeps what it has loaded, and can load nothing more.

close() 之后，对象留着已加载的值，但再也加载不了新的。
"""

import asyncio
import os
from secrets import token_hex

from sqlalchemy.ext.asyncio import async_sessionmaker, create_async_engine
from sqlalchemy.orm import DeclarativeBase, Mapped, mapped_column
from sqlalchemy.orm.exc import DetachedInstanceError


class Base(DeclarativeBase):
    pass


class Order(Base):
    __tablename__ = f"guide_orders_{token_hex(4)}"
    id: Mapped[int] = mapped_column(primary_key=True)
    drink: Mapped[str]


engine = create_async_engine(os.environ["DATABASE_URL"])


async def place_order(expire_on_commit: bool) -> Order:
    async with async_sessionmaker(
        engine, expire_on_commit=expire_on_commit
    )() as session:
        order = Order(drink="longjing")
        session.add(order)
        await session.commit()
        return order


async def main() -> None:
    async with engine.begin() as connection:
        await connection.run_sync(Base.metadata.create_all)
    for expire_on_commit in (False, True):
        order = await place_order(expire_on_commit)
        try:
            drink = order.drink
        except DetachedInstanceError as error:
            drink = type(error).__name__
        print(f"expire_on_commit={expire_on_commit}: {drink}")
        #> expire_on_commit=False: longjing
        #> expire_on_commit=True: DetachedInstanceError
    async with engine.begin() as connection:
        await connection.run_sync(Base.metadata.drop_all)
    await engine.dispose()


asyncio.run(main())
