"""A retry that knows its order by a key, and one that does not.

重试有两种：一种凭唯一的键认出自己的订单，一种不认。
"""

from sqlalchemy.dialects.postgresql import insert
from sqlalchemy.exc import DBAPIError
from sqlalchemy.ext.asyncio import async_sessionmaker
from sqlalchemy.orm import DeclarativeBase, Mapped, mapped_column

async_session = async_sessionmaker()


class Base(DeclarativeBase):
    pass


class Order(Base):
    __tablename__ = "orders"
    id: Mapped[int] = mapped_column(primary_key=True)
    key: Mapped[str | None] = mapped_column(unique=True)
    tea: Mapped[str]


async def order(tea: str, key: str | None = None, times: int = 3) -> None:
    statement = insert(Order).values(tea=tea, key=key)
    for left in reversed(range(times)):
        try:
            async with async_session.begin() as session:
                await session.execute(
                    statement.on_conflict_do_nothing(index_elements=["key"])
                )
                return
        except DBAPIError as error:
            if not (left and error.connection_invalidated):
                raise
