"""A missing commit raises nothing: the order is seen inside, and gone outside.

忘了提交不会报错：里面查得到，出来就没了。
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
async_session = async_sessionmaker(engine, expire_on_commit=False)
COUNT = select(func.count(Order.id))


async def main() -> None:
    async with engine.begin() as connection:
        await connection.run_sync(Base.metadata.create_all)

    async with async_session() as session:
        order = Order(drink="longjing")
        session.add(order)
        orders = await session.scalar(COUNT)
        print(f"inside: order {order.id}, {orders} in the table")
        #> inside: order 1, 1 in the table
    async with async_session() as session:
        print(f"outside: {await session.scalar(COUNT)} in the table")
        #> outside: 0 in the table

    async with async_session.begin() as session:
        order = Order(drink="oolong")
        session.add(order)
    print(f"the next one, committed: order {order.id}")
    #> the next one, committed: order 2

    async with engine.begin() as connection:
        await connection.run_sync(Base.metadata.drop_all)
    await engine.dispose()


asyncio.run(main())
