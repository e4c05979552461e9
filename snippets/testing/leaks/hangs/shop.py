"""Tables and the engine, whose connections are known by their name.

表和引擎；凭连接的名字认得出是谁的。
"""

import os
from secrets import token_hex

from sqlalchemy.ext.asyncio import AsyncSession, create_async_engine
from sqlalchemy.orm import DeclarativeBase, Mapped, mapped_column

NAME = f"guide_tests_{token_hex(4)}"
SETTINGS = {"application_name": NAME, "search_path": NAME}
engine = create_async_engine(
    os.environ["DATABASE_URL"], connect_args={"server_settings": SETTINGS}
)


class Base(DeclarativeBase):
    pass


class Order(Base):
    __tablename__ = "orders"
    id: Mapped[int] = mapped_column(primary_key=True)
    tea: Mapped[str]


async def order(session: AsyncSession, tea: str) -> Order:
    session.add(placed := Order(tea=tea))
    await session.flush()
    return placed
