"""lazy="raise" fails in the line that reads, and takes no connection.

lazy="raise" 在读的那一行当场报错，不借连接。
"""

import asyncio
import os
from secrets import token_hex

from sqlalchemy import ForeignKey
from sqlalchemy.exc import InvalidRequestError
from sqlalchemy.ext.asyncio import async_sessionmaker, create_async_engine
from sqlalchemy.orm import DeclarativeBase, Mapped, mapped_column, relationship


class Base(DeclarativeBase):
    pass


class Guest(Base):
    __tablename__ = f"guide_guests_{token_hex(4)}"
    id: Mapped[int] = mapped_column(primary_key=True)
    orders: Mapped[list["Order"]] = relationship(lazy="raise")


class Order(Base):
    __tablename__ = f"guide_orders_{token_hex(4)}"
    id: Mapped[int] = mapped_column(primary_key=True)
    guest_id: Mapped[int] = mapped_column(ForeignKey(Guest.id))


engine = create_async_engine(os.environ["DATABASE_URL"])
async_session = async_sessionmaker(engine, expire_on_commit=False)


async def main() -> None:
    async with engine.begin() as connection:
        await connection.run_sync(Base.metadata.create_all)
    async with async_session.begin() as session:
        session.add(Guest(id=1))

    async with async_session() as session:
        guest = await session.get_one(Guest, 1)
        await session.commit()
        try:
            print(guest.orders)
        except InvalidRequestError as error:
            print(error)
            #> 'Guest.orders' is not available due to lazy='raise'
        print(engine.pool.status())
        #> Pool size: 5  Connections in pool: 1 Current Overflow: -4 Current Checked out connections: 0

    async with engine.begin() as connection:
        await connection.run_sync(Base.metadata.drop_all)
    await engine.dispose()


asyncio.run(main())
