"""After a failed flush the session refuses all SQL until rollback().

flush 失败之后，会话拒绝一切 SQL，直到 rollback()。
"""

import asyncio
import os
from secrets import token_hex

from sqlalchemy.exc import IntegrityError, PendingRollbackError
from sqlalchemy.ext.asyncio import async_sessionmaker, create_async_engine
from sqlalchemy.orm import DeclarativeBase, Mapped, mapped_column


class Base(DeclarativeBase):
    pass


class Order(Base):
    __tablename__ = f"guide_orders_{token_hex(4)}"
    id: Mapped[int] = mapped_column(primary_key=True)
    drink: Mapped[str] = mapped_column(unique=True)


engine = create_async_engine(os.environ["DATABASE_URL"])
async_session = async_sessionmaker(engine)


async def main() -> None:
    async with engine.begin() as connection:
        await connection.run_sync(Base.metadata.create_all)
    async with async_session.begin() as session:
        session.add(Order(drink="longjing"))

    async with async_session() as session:
        session.add(Order(drink="longjing"))
        try:
            await session.commit()
        except IntegrityError as error:
            print(type(error).__name__)
            #> IntegrityError
        try:
            await session.get(Order, 1)
        except PendingRollbackError as error:
            print(str(error).partition(" Original")[0])
            #> This Session's transaction has been rolled back due to a previous exception during flush. To begin a new transaction with this Session, first issue Session.rollback().
        await session.rollback()
        order = await session.get(Order, 1)
        print("after rollback():", order and order.drink)
        #> after rollback(): longjing

    async with engine.begin() as connection:
        await connection.run_sync(Base.metadata.drop_all)
    await engine.dispose()


asyncio.run(main())
