"""An object outlives its session: read it in the session that works with it.

对象还在，会话已经关了：哪个会话要用它，就由哪个会话查出来。
"""

import asyncio
import os
import re
from secrets import token_hex

from sqlalchemy import ForeignKey, exc
from sqlalchemy.ext.asyncio import AsyncSession, create_async_engine
from sqlalchemy.orm import DeclarativeBase, Mapped, mapped_column, relationship

ORDERS = f"guide_orders_{token_hex(4)}"
engine = create_async_engine(os.environ["DATABASE_URL"])


class Base(DeclarativeBase): ...


class Order(Base):
    __tablename__ = ORDERS
    id: Mapped[int] = mapped_column(primary_key=True)
    before: Mapped[int | None] = mapped_column(ForeignKey(f"{ORDERS}.id"))
    refills: Mapped[list["Order"]] = relationship()


def show(error: Exception) -> None:
    print(re.sub(" at 0x[^>]*", "", str(error).split(" (Background")[0]))
    #> Parent instance <Order> is not bound to a Session; lazy load operation of attribute 'refills' cannot proceed
    #> Instance '<Order>' is not persistent within this Session


async def main() -> None:
    async with engine.begin() as connection:
        await connection.run_sync(Base.metadata.create_all)
    async with AsyncSession(engine) as session:
        session.add(Order(id=1, refills=[Order(id=2)]))
        await session.commit()
        order = await session.get_one(Order, 1)
    try:
        print(order.refills)
    except exc.SQLAlchemyError as error:
        show(error)
    async with AsyncSession(engine) as session:
        try:
            await session.refresh(order)
        except exc.SQLAlchemyError as error:
            show(error)
        order = await session.get_one(Order, order.id)
        await session.refresh(order, ["refills"])
    print("read in time:", len(order.refills), "refill")
    #> read in time: 1 refill
    async with engine.begin() as connection:
        await connection.run_sync(Base.metadata.drop_all)
    await engine.dispose()


asyncio.run(main())
