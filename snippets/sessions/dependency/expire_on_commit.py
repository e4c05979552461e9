"""After commit(), reading an attribute fails unless expire_on_commit=False.

commit() 之后读属性会报错，除非 expire_on_commit=False。
"""

import asyncio
import os
from secrets import token_hex

from sqlalchemy.exc import MissingGreenlet
from sqlalchemy.ext.asyncio import async_sessionmaker, create_async_engine
from sqlalchemy.orm import DeclarativeBase, Mapped, mapped_column


class Base(DeclarativeBase):
    pass


class Order(Base):
    __tablename__ = f"guide_orders_{token_hex(4)}"
    id: Mapped[int] = mapped_column(primary_key=True)
    drink: Mapped[str]


engine = create_async_engine(os.environ["DATABASE_URL"])


async def main() -> None:
    async with engine.begin() as connection:
        await connection.run_sync(Base.metadata.create_all)

    async_session = async_sessionmaker(engine)
    async with async_session() as session:
        order = Order(drink="longjing")
        session.add(order)
        await session.commit()
        print(engine.pool.status())
        #> Pool size: 5  Connections in pool: 1 Current Overflow: -4 Current Checked out connections: 0
        try:
            print(order.drink)
        except MissingGreenlet as error:
            print(error)
            #> greenlet_spawn has not been called; can't call await_() here. Was IO attempted in an unexpected place? (Background on this error at: https://sqlalche.me/e/21/xd2s)
        print(engine.pool.status())
        #> Pool size: 5  Connections in pool: 0 Current Overflow: -4 Current Checked out connections: 1

    async_session = async_sessionmaker(engine, expire_on_commit=False)
    async with async_session() as session:
        order = Order(drink="oolong")
        session.add(order)
        await session.commit()
        print(order.drink)
        #> oolong

    async with engine.begin() as connection:
        await connection.run_sync(Base.metadata.drop_all)
    await engine.dispose()


asyncio.run(main())
