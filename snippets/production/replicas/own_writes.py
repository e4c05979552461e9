"""A routed session misses what it wrote, unless it stays with the primary.

自动路由的会话看不到自己刚写的行；写过之后一直用主库，就看得到。
"""

import asyncio
import os
from secrets import token_hex
from typing import Any

from sqlalchemy import Engine, Select, func, select
from sqlalchemy.ext.asyncio import AsyncSession, create_async_engine
from sqlalchemy.orm import DeclarativeBase, Mapped, Session, mapped_column

URL = os.environ["DATABASE_URL"]
primary = create_async_engine(URL)
replica = create_async_engine(URL)  # in production another URL


class Base(DeclarativeBase):
    pass


class Order(Base):
    __tablename__ = f"guide_orders_{token_hex(4)}"
    id: Mapped[int] = mapped_column(primary_key=True)


class Routed(Session):
    def get_bind(self, mapper: Any = None, **given: Any) -> Engine:
        reads = isinstance(given.get("clause"), Select)
        return (replica if reads else primary).sync_engine


class Sticky(Session):
    def get_bind(self, mapper: Any = None, **given: Any) -> Engine:
        if not isinstance(given.get("clause"), Select):
            self.info["wrote"] = True
        to_primary = self.info.get("wrote", False)
        return (primary if to_primary else replica).sync_engine


async def main() -> None:
    async with primary.begin() as connection:
        await connection.run_sync(Base.metadata.create_all)
    for way in (Routed, Sticky):
        async with AsyncSession(sync_session_class=way) as session:
            session.add(Order())
            await session.flush()
            seen = await session.scalar(select(func.count(Order.id)))
            lent = [engine.pool.status()[-1] for engine in (primary, replica)]
            print(f"{way.__name__} sees {seen}, holds {' + '.join(lent)}")
            #> Routed sees 0, holds 1 + 1
            #> Sticky sees 1, holds 1 + 0
    async with primary.begin() as connection:
        await connection.run_sync(Base.metadata.drop_all)
    await primary.dispose()
    await replica.dispose()


asyncio.run(main())
