"""An endpoint that commits, and one that rolls back after an error.

一个接口会提交，另一个出错后回滚。
"""

from sqlalchemy.ext.asyncio import AsyncSession
from sqlalchemy.orm import DeclarativeBase, Mapped, mapped_column


class Base(DeclarativeBase):
    pass


class Order(Base):
    __tablename__ = "orders"
    id: Mapped[int] = mapped_column(primary_key=True)
    tea: Mapped[str]


async def order(session: AsyncSession, tea: str) -> None:
    session.add(Order(tea=tea))
    await session.commit()


async def order_sold_out(session: AsyncSession, tea: str) -> None:
    session.add(Order(tea=tea))
    await session.flush()
    await session.rollback()
