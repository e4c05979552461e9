"""Three ways to load later: each takes a connection, until the next commit.

三种“用到再取”的写法：都要借一个连接，占到下一次提交。
"""

import asyncio
import os
from secrets import token_hex

from sqlalchemy import ForeignKey
from sqlalchemy.ext.asyncio import AsyncAttrs, AsyncSession, create_async_engine
from sqlalchemy.orm import DeclarativeBase, Mapped, mapped_column, relationship


class Base(AsyncAttrs, DeclarativeBase):
    pass


class Guest(Base):
    __tablename__ = f"guide_guests_{token_hex(4)}"
    id: Mapped[int] = mapped_column(primary_key=True)
    orders: Mapped[list["Order"]] = relationship()


class Order(Base):
    __tablename__ = f"guide_orders_{token_hex(4)}"
    id: Mapped[int] = mapped_column(primary_key=True)
    guest_id: Mapped[int] = mapped_column(ForeignKey(Guest.id))


engine = create_async_engine(os.environ["DATABASE_URL"])


async def main() -> None:
    async with engine.begin() as connection:
        await connection.run_sync(Base.metadata.create_all)
    async with AsyncSession(engine) as session:
        guest = Guest(id=1, orders=[Order(), Order()])
        session.add(guest)
        await session.commit()
        await session.refresh(guest, attribute_names=["orders"])
        print("refresh():", len(guest.orders), engine.pool.status())
        #> refresh(): 2 Pool size: 5  Connections in pool: 0 Current Overflow: -4 Current Checked out connections: 1

        await session.commit()
        orders = await guest.awaitable_attrs.orders
        print("awaitable_attrs:", len(orders), engine.pool.status())
        #> awaitable_attrs: 2 Pool size: 5  Connections in pool: 0 Current Overflow: -4 Current Checked out connections: 1

        await session.commit()
        orders = await session.run_sync(lambda _: guest.orders)
        print("run_sync():", len(orders), engine.pool.status())
        #> run_sync(): 2 Pool size: 5  Connections in pool: 0 Current Overflow: -4 Current Checked out connections: 1

    async with engine.begin() as connection:
        await connection.run_sync(Base.metadata.drop_all)
    await engine.dispose()


asyncio.run(main())
