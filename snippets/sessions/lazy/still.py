"""With lazy="selectin" on both sides, the way back is not loaded.

两头都写了 lazy="selectin"，往回的那一步还是没加载。
"""

import asyncio
import os
from secrets import token_hex

from sqlalchemy import ForeignKey, orm
from sqlalchemy.exc import MissingGreenlet
from sqlalchemy.ext.asyncio import AsyncSession, create_async_engine
from sqlalchemy.orm import DeclarativeBase, Mapped, mapped_column, relationship


class Base(DeclarativeBase):
    id: Mapped[int] = mapped_column(primary_key=True)


class Guest(Base):
    __tablename__ = f"guide_guests_{token_hex(4)}"
    orders: Mapped[list["Order"]] = relationship(
        lazy="selectin", back_populates="guest"
    )


class Order(Base):
    __tablename__ = f"guide_orders_{token_hex(4)}"
    guest_id: Mapped[int] = mapped_column(ForeignKey(Guest.id))
    guest: Mapped[Guest] = relationship(
        lazy="selectin", back_populates="orders"
    )


engine = create_async_engine(os.environ["DATABASE_URL"])


async def main() -> None:
    async with engine.begin() as connection:
        await connection.run_sync(Base.metadata.create_all)
    async with AsyncSession(engine) as session, session.begin():
        session.add(Guest(orders=[Order(), Order()]))

    back = orm.selectinload(Order.guest).selectinload(Guest.orders)
    for options in ([], [back]):
        async with AsyncSession(engine) as session:
            order = await session.get_one(Order, 1, options=options)
            try:
                found = f"{len(order.guest.orders)} orders"
            except MissingGreenlet as error:
                found = type(error).__name__
            print("order.guest.orders:", found)
            #> order.guest.orders: MissingGreenlet
            #> order.guest.orders: 2 orders

    async with engine.begin() as connection:
        await connection.run_sync(Base.metadata.drop_all)
    await engine.dispose()


asyncio.run(main())
