"""Lazy loading raises MissingGreenlet, and leaves a connection checked out.

懒加载报 MissingGreenlet，还留下一个借出未还的连接。
"""

import asyncio
import os
from secrets import token_hex

from sqlalchemy import ForeignKey
from sqlalchemy.exc import MissingGreenlet
from sqlalchemy.ext.asyncio import async_sessionmaker, create_async_engine
from sqlalchemy.orm import DeclarativeBase, Mapped, mapped_column, relationship


class Base(DeclarativeBase):
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
async_session = async_sessionmaker(engine, expire_on_commit=False)


async def main() -> None:
    async with engine.begin() as connection:
        await connection.run_sync(Base.metadata.create_all)
    async with async_session.begin() as session:
        session.add(Guest(id=1))

    async with async_session() as session:
        guest = await session.get_one(Guest, 1)
        await session.commit()
        print(engine.pool.status())
        #> Pool size: 5  Connections in pool: 1 Current Overflow: -4 Current Checked out connections: 0
        try:
            print(guest.orders)
        except MissingGreenlet as error:
            print(error)
            #> greenlet_spawn has not been called; can't call await_() here. Was IO attempted in an unexpected place? (Background on this error at: https://sqlalche.me/e/21/xd2s)
        print(engine.pool.status())
        #> Pool size: 5  Connections in pool: 0 Current Overflow: -4 Current Checked out connections: 1
    print(engine.pool.status())
    #> Pool size: 5  Connections in pool: 1 Current Overflow: -4 Current Checked out connections: 0

    async with engine.begin() as connection:
        await connection.run_sync(Base.metadata.drop_all)
    await engine.dispose()


asyncio.run(main())
