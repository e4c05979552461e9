"""A factory written for a Session fills an AsyncSession, within run_sync().

给同步 Session 写的工厂，放进 run_sync() 就能往 AsyncSession 里造数据。
"""

import asyncio
import os
import warnings
from secrets import token_hex
from typing import Any

from sqlalchemy.exc import MissingGreenlet
from sqlalchemy.ext.asyncio import AsyncSession, create_async_engine
from sqlalchemy.orm import DeclarativeBase, Mapped, mapped_column

engine = create_async_engine(os.environ["DATABASE_URL"])


class Base(DeclarativeBase):
    pass


class Order(Base):
    __tablename__ = f"guide_orders_{token_hex(4)}"
    id: Mapped[int] = mapped_column(primary_key=True)
    tea: Mapped[str]


def make_order(session: Any) -> Order:  # these two calls factory_boy makes
    order = Order(tea="oolong")
    session.add(order)
    session.flush()
    return order


async def main() -> None:
    async with engine.connect() as connection:
        await connection.run_sync(Base.metadata.create_all)
        async with AsyncSession(connection) as session:
            with warnings.catch_warnings(record=True) as caught:
                order = make_order(session)
            print(order.id, caught[0].message)
            #> None coroutine 'AsyncSession.flush' was never awaited
            try:
                make_order(session.sync_session)
            except MissingGreenlet as error:
                print(type(error).__name__)
                #> MissingGreenlet
        async with AsyncSession(connection) as session:
            order = await session.run_sync(make_order)
            print("run_sync:", order.tea, "has an id:", order.id is not None)
            #> run_sync: oolong has an id: True
    await engine.dispose()


asyncio.run(main())
