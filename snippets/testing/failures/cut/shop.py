"""A unit of work that is done again when the line was cut.

一个工作单元：断线了就整个重做。
"""

from sqlalchemy.exc import DBAPIError
from sqlalchemy.ext.asyncio import async_sessionmaker
from sqlalchemy.orm import DeclarativeBase, Mapped, mapped_column

async_session = async_sessionmaker()


class Base(DeclarativeBase):
    pass


class Order(Base):
    __tablename__ = "orders"
    id: Mapped[int] = mapped_column(primary_key=True)
    tea: Mapped[str]


async def order(tea: str) -> None:
    async with async_session.begin() as session:
        session.add(Order(tea=tea))


async def order_again(tea: str, times: int = 3) -> None:
    for left in reversed(range(times)):
        try:
            await order(tea)
            return
        except DBAPIError as error:
            if not (left and error.connection_invalidated):
                raise
