"""UPDATE expires a column with onupdate=func.now(), unless eager_defaults=True.

UPDATE 会让 onupdate=func.now() 的列过期；设了 eager_defaults 就不会。
"""

import asyncio
import os
from datetime import datetime
from secrets import token_hex

from sqlalchemy import func
from sqlalchemy.exc import MissingGreenlet
from sqlalchemy.ext.asyncio import async_sessionmaker, create_async_engine
from sqlalchemy.orm import DeclarativeBase, Mapped, mapped_column


class Base(DeclarativeBase):
    id: Mapped[int] = mapped_column(primary_key=True)
    drink: Mapped[str]
    changed: Mapped[datetime] = mapped_column(
        server_default=func.now(), onupdate=func.now()
    )


class Order(Base):
    __tablename__ = f"guide_orders_{token_hex(4)}"


class EagerOrder(Base):
    __tablename__ = f"guide_orders_{token_hex(4)}"
    __mapper_args__ = {"eager_defaults": True}


engine = create_async_engine(os.environ["DATABASE_URL"])
async_session = async_sessionmaker(engine, expire_on_commit=False)


async def main() -> None:
    async with engine.begin() as connection:
        await connection.run_sync(Base.metadata.create_all)
    for kind in (Order, EagerOrder):
        async with async_session() as session:
            session.add(order := kind(drink="oolong"))
            await session.commit()
            order.drink = "longjing"
            await session.commit()
            try:
                found = type(order.changed).__name__
            except MissingGreenlet as error:
                found = type(error).__name__
            print(f"{kind.__name__}: {found},", engine.pool.status())
            #> Order: MissingGreenlet, Pool size: 5  Connections in pool: 0 Current Overflow: -4 Current Checked out connections: 1
            #> EagerOrder: datetime, Pool size: 5  Connections in pool: 1 Current Overflow: -4 Current Checked out connections: 0
    async with engine.begin() as connection:
        await connection.run_sync(Base.metadata.drop_all)
    await engine.dispose()


asyncio.run(main())
