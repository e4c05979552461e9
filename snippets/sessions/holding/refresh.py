"""After commit(), refresh() borrows again; expire_on_commit=False needs none.

commit() 之后 refresh() 又借走一个连接；expire_on_commit=False 就不用借。
"""

import asyncio
import os
from secrets import token_hex

from sqlalchemy import NullPool, text
from sqlalchemy.ext.asyncio import AsyncSession, create_async_engine
from sqlalchemy.orm import DeclarativeBase, Mapped, mapped_column


class Base(DeclarativeBase):
    pass


class Order(Base):
    __tablename__ = f"guide_orders_{token_hex(4)}"
    id: Mapped[int] = mapped_column(primary_key=True)
    drink: Mapped[str]
    cups: Mapped[int] = mapped_column(server_default="2")


URL = os.environ["DATABASE_URL"]
NAME = {"server_settings": {"application_name": "teahouse"}}
engine = create_async_engine(URL, connect_args=NAME)
watcher = create_async_engine(URL, poolclass=NullPool)


async def state() -> str:
    query = """SELECT state FROM pg_stat_activity
        WHERE application_name = 'teahouse'
        AND datname = current_database()"""
    async with watcher.connect() as connection:
        return str(await connection.scalar(text(query)))


async def main() -> None:
    async with watcher.begin() as connection:
        await connection.run_sync(Base.metadata.create_all)
    async with AsyncSession(engine) as session:
        order = Order(drink="longjing")
        session.add(order)
        await session.commit()
        print("commit() :", await state())
        #> commit() : idle
        await session.refresh(order)
        print("refresh():", await state())
        #> refresh(): idle in transaction
    async with AsyncSession(engine, expire_on_commit=False) as session:
        order = Order(drink="oolong")
        session.add(order)
        await session.commit()
        print(f"order {order.id}, {order.cups} cups:", await state())
        #> order 2, 2 cups: idle
    async with watcher.begin() as connection:
        await connection.run_sync(Base.metadata.drop_all)
    await engine.dispose()


asyncio.run(main())
