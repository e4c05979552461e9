"""One session, two databases: two connections, two transactions, two commits.

一个会话，两个数据库：占两个连接，开两个事务，提交两次。
"""

import asyncio
import os
from secrets import token_hex

from sqlalchemy import text
from sqlalchemy.ext.asyncio import async_sessionmaker, create_async_engine
from sqlalchemy.orm import DeclarativeBase, Mapped, mapped_column

URL = os.environ["DATABASE_URL"]
shop = create_async_engine(URL)
loyalty = create_async_engine(URL)  # in production another URL
PID = text("SELECT pg_backend_pid()")


class Shop(DeclarativeBase):
    pass


class Loyalty(DeclarativeBase):
    pass


class Order(Shop):
    __tablename__ = f"guide_orders_{token_hex(4)}"
    id: Mapped[int] = mapped_column(primary_key=True)


class Stamp(Loyalty):
    __tablename__ = f"guide_stamps_{token_hex(4)}"
    id: Mapped[int] = mapped_column(primary_key=True)


BINDS = {Shop: shop, Loyalty: loyalty}
async_session = async_sessionmaker(binds=BINDS)


async def main() -> None:
    for base, engine in BINDS.items():
        async with engine.begin() as connection:
            await connection.run_sync(base.metadata.create_all)
    async with async_session.begin() as session:
        session.add_all([Order(), Stamp()])
        await session.flush()
        backends = {
            await session.scalar(PID, bind_arguments={"mapper": one})
            for one in (Order, Stamp)
        }
        print("backends of one session:", len(backends))
        #> backends of one session: 2
    for base, engine in BINDS.items():
        async with engine.begin() as connection:
            await connection.run_sync(base.metadata.drop_all)
        await engine.dispose()


asyncio.run(main())
