"""What one session commits, the next session reads.

前一个会话提交的数据，后一个会话读得到。
"""

import asyncio
import os
from secrets import token_hex

from sqlalchemy import select
from sqlalchemy.ext.asyncio import async_sessionmaker, create_async_engine
from sqlalchemy.orm import DeclarativeBase, Mapped, mapped_column

engine = create_async_engine(os.environ["DATABASE_URL"])
async_session = async_sessionmaker(engine)


class Base(DeclarativeBase):
    pass


class Order(Base):
    # A new name at each run: a table of yours is never touched.
    __tablename__ = f"guide_orders_{token_hex(4)}"

    id: Mapped[int] = mapped_column(primary_key=True)
    drink: Mapped[str]


async def main() -> None:
    async with engine.begin() as connection:
        await connection.run_sync(Base.metadata.create_all)

    async with async_session() as session:
        session.add_all([Order(drink="longjing"), Order(drink="oolong")])
        await session.commit()

    async with async_session() as session:
        for order in await session.scalars(select(Order).order_by(Order.id)):
            print(order.id, order.drink)
            #> 1 longjing
            #> 2 oolong

    async with engine.begin() as connection:
        await connection.run_sync(Base.metadata.drop_all)
    await engine.dispose()


asyncio.run(main())
