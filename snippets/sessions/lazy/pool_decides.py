"""The same mistake on a warm pool, on a cold one, and with pre-ping.

同一个错误，池是热的、冷的、开了预检，后果各不相同。
"""

import asyncio
import os
import warnings
from contextlib import suppress
from secrets import token_hex

from sqlalchemy import event
from sqlalchemy.exc import MissingGreenlet
from sqlalchemy.ext.asyncio import AsyncSession, create_async_engine
from sqlalchemy.orm import DeclarativeBase, Mapped, mapped_column

URL = os.environ["DATABASE_URL"]


class Base(DeclarativeBase):
    pass


class Order(Base):
    __tablename__ = f"guide_orders_{token_hex(4)}"
    id: Mapped[int] = mapped_column(primary_key=True)


async def read(name: str, cold: bool = False, pre_ping: bool = False) -> None:
    engine = create_async_engine(URL, pool_pre_ping=pre_ping)
    async with AsyncSession(engine) as session:
        session.add(order := Order())
        await session.commit()
        if cold:
            await engine.dispose()
        seen: list[str] = []
        for what in ("checkout", "invalidate", "close", "checkin"):
            event.listen(engine.pool, what, lambda *_, w=what: seen.append(w))
        with suppress(MissingGreenlet):
            print(order.id)
        print(f"{name}:", seen)
        #> warm: ['checkout']
        #> cold: []
        #> pre-ping: ['invalidate', 'close', 'checkin']
    await engine.dispose()


async def main() -> None:
    engine = create_async_engine(URL)
    async with engine.begin() as connection:
        await connection.run_sync(Base.metadata.create_all)
    await read("warm")
    await read("cold", cold=True)
    await read("pre-ping", pre_ping=True)
    async with engine.begin() as connection:
        await connection.run_sync(Base.metadata.drop_all)
    await engine.dispose()


warnings.filterwarnings("ignore", "coroutine 'connect' was never awaited")
asyncio.run(main())
