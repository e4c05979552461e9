"""Two engines, two factories: a read-only one refuses what would write.

两个引擎，两个会话工厂：只读的那个，写就报错。
"""

import asyncio
import os
from secrets import token_hex

from sqlalchemy import select
from sqlalchemy.exc import DBAPIError
from sqlalchemy.ext.asyncio import async_sessionmaker, create_async_engine
from sqlalchemy.orm import DeclarativeBase, Mapped, mapped_column

URL = os.environ["DATABASE_URL"]
READ_ONLY = {"server_settings": {"default_transaction_read_only": "on"}}
primary = create_async_engine(URL)
replica = create_async_engine(URL, connect_args=READ_ONLY)  # another URL
async_session = async_sessionmaker(primary)
async_reader = async_sessionmaker(replica)


class Base(DeclarativeBase):
    pass


class Order(Base):
    __tablename__ = f"guide_orders_{token_hex(4)}"
    id: Mapped[int] = mapped_column(primary_key=True)
    drink: Mapped[str]


async def main() -> None:
    async with primary.begin() as connection:
        await connection.run_sync(Base.metadata.create_all)
    async with async_session.begin() as session:
        session.add(Order(drink="longjing"))
    async with async_reader() as session:
        print("read:", await session.scalar(select(Order.drink)))
        #> read: longjing
    try:
        async with async_reader.begin() as session:
            session.add(Order(drink="oolong"))
    except DBAPIError as error:
        print("written:", error.orig)
        #> written: cannot execute INSERT in a read-only transaction
    async with primary.begin() as connection:
        await connection.run_sync(Base.metadata.drop_all)
    await primary.dispose()
    await replica.dispose()


asyncio.run(main())
