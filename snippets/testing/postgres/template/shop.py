"""An application that keeps one engine, and takes an order in a session of its own.

应用只有一个引擎，每张订单用自己的会话。
"""

import os
from functools import lru_cache

from sqlalchemy.ext.asyncio import (
    AsyncEngine,
    AsyncSession,
    create_async_engine,
)
from sqlalchemy.orm import DeclarativeBase, Mapped, mapped_column


class Base(DeclarativeBase):
    pass


class Order(Base):
    __tablename__ = "orders"
    id: Mapped[int] = mapped_column(primary_key=True)
    tea: Mapped[str]


@lru_cache
def get_engine() -> AsyncEngine:
    return create_async_engine(os.environ["DATABASE_URL"])


async def place_order(tea: str) -> int:
    async with AsyncSession(get_engine(), expire_on_commit=False) as session:
        session.add(order := Order(tea=tea))
        await session.commit()
        return order.id
